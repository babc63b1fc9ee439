// Several galaxies: a table to sort, and the same as CSV.

import { make, percent } from "/page/elements.js";

const COLUMNS = [
  ["picture", (row) => row.id],
  ["likely path", (row) => row.path.map((step) => step.text).join(", ") || row.reason],
  ["smooth", (row) => row.fractions?.["Class1.1"].value ?? -1],
  ["features", (row) => row.fractions?.["Class1.2"].value ?? -1],
  ["flag", (row) => (row.status !== "ok" ? row.status : row.unlike ? "unlike" : "")],
];
const NUMBERS = new Set(["smooth", "features"]);

export function showTable(place, rows, open, before = []) {
  let by = -1, up = true;
  const body = make("tbody");
  const heads = COLUMNS.map(([name], index) => make("th",
    { scope: "col", "aria-sort": "none", class: NUMBERS.has(name) ? "n" : undefined },
    make("button", { type: "button", onclick: () => sort(index) }, name)));

  function sort(index) {
    up = by === index ? !up : true;
    by = index;
    heads.forEach((head, each) =>
      head.setAttribute("aria-sort", each !== by ? "none" : up ? "ascending" : "descending"));
    fill();
  }

  function fill() {
    const order = rows.map((row, index) => [row, index]);
    if (by >= 0) order.sort(([a], [b]) => compare(COLUMNS[by][1](a), COLUMNS[by][1](b)) * (up ? 1 : -1));
    body.replaceChildren(...order.map(([row, index]) => line(row, () => open(row, index))));
  }

  fill();
  place.replaceChildren(
    make("div", { class: "title" }, make("h2", { tabindex: "-1" }, `${rows.length} galaxies`),
      make("button", { type: "button", class: "button plain", onclick: () => download(rows) }, "Download CSV")),
    ...before,
    make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Table of galaxies" },
      make("table", { class: "galaxies" }, make("thead", {}, make("tr", {}, ...heads)), body)));
}

function line(row, open) {
  const ok = row.status === "ok";
  const thumbnail = row.thumbnail ? [make("img", { src: row.thumbnail, alt: "", class: "thumbnail" })] : [];
  const name = ok ? make("button", { type: "button", class: "link", onclick: open }, row.id) : row.id;
  const share = (column) => make("td", { class: "n" }, ok ? percent(row.fractions[column].value) : "–");
  return make("tr", { class: ok ? "opens" : "bad", onclick: (event) => ok && !event.target.closest("button") && open() },
    make("td", {}, ...thumbnail, name), make("td", {}, COLUMNS[1][1](row)), share("Class1.1"), share("Class1.2"),
    make("td", {}, COLUMNS[4][1](row)));
}

function compare(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}

function download(rows) {
  const columns = Object.keys(rows.find((row) => row.fractions)?.fractions ?? {});
  const position = "x" in rows[0] ? ["x", "y"] : [];
  const head = ["id", "status", "reason", "unlike", ...position, ...columns.flatMap((each) =>
    [each, `${each}_low`, `${each}_high`])];
  const lines = rows.map((row) => [row.id, row.status, row.reason, row.unlike ?? "", ...position.map((each) => row[each]),
    ...columns.flatMap((each) => ["value", "low", "high"].map((end) => row.fractions?.[each][end] ?? ""))]);
  const text = [head, ...lines].map((each) => each.map(quote).join(",")).join("\r\n") + "\r\n";
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: url, download: "galaxies.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// A spreadsheet would take a name that begins like a formula for one.
function quote(value) {
  const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
