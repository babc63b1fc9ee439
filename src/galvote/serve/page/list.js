// Several galaxies as a table that can be sorted and downloaded.

import { byId, interval, make, percent } from "./words.js";

const FIRST = [
  { title: "name", value: (row) => row.id },
  { title: "most likely", value: (row) => row.summary || row.reason },
];
const LAST = { title: "unusual", number: true, value: (row) => row.ood_score };

let columns = []; // of the table: its titles and values
let rows = [];
let order = { column: null, down: false };
let open = () => {};
const shownAs = new Map(); // the table's row of each galaxy

/** Set the table up; `onOpen` is called with the row that the reader chooses. */
export function startList(onOpen) {
  open = onOpen;
  byId("download").onclick = download;
}

/** Show an empty table under a title, with the answers that a model's tree highlights. */
export function showList(title, tree) {
  const answers = tree.questions.flatMap((question) => question.answers);
  const highlights = tree.highlights.map((wanted) => answers.find(({ label }) => label === wanted));
  columns = [
    ...FIRST,
    ...highlights.map(({ column, phrase }) => ({ column, title: phrase, number: true, value: (row) => row.fractions?.[column].value ?? null })),
    LAST,
  ];
  const headings = columns.map(({ title, number }, place) =>
    make("th", { scope: "col", className: number ? "n" : "", attributes: { "aria-sort": "none" } },
      make("button", { type: "button", textContent: title, onclick: () => sortBy(place) })));
  byId("table").tHead.replaceChildren(make("tr", {}, make("td", {}, make("span", { className: "unseen", textContent: "image" })), ...headings));
  rows = [];
  order = { column: null, down: false };
  shownAs.clear();
  byId("list-title").textContent = title;
  byId("list").hidden = false;
  arrange();
}

/** Add galaxies to the table. */
export function addRows(more) {
  rows.push(...more);
  for (const row of more) shownAs.set(row, makeRow(row));
  arrange();
}

/** Mark the row of the galaxy that is shown. */
export function markRow(row) {
  for (const [each, line] of shownAs) line.classList.toggle("shown", each === row);
}

/** Bring the reader back to a galaxy's row. */
export function backTo(row) {
  shownAs.get(row)?.querySelector("button")?.focus();
}

function makeRow(row) {
  const cell = make("td");
  if (row.status === "ok") {
    const image = make("img", { src: row.figures?.cutout ?? URL.createObjectURL(row.file), alt: "", onerror: () => image.remove() });
    cell.append(make("span", { className: row.figures ? "disc near" : "disc" }, image));
  }
  const name = row.status === "ok" ? make("button", { type: "button", textContent: row.id, onclick: () => open(row) }) : row.id;
  const numbers = columns.filter(({ column }) => column).map(({ column }) => {
    const fraction = row.fractions?.[column];
    if (!fraction) return make("td", { className: "n", textContent: "–" });
    return make("td", { className: "n", textContent: percent(fraction.value) }, make("small", { textContent: interval(fraction) }));
  });
  return make("tr", {},
    cell,
    make("th", { scope: "row" }, name),
    make("td", { className: row.status === "ok" ? "words" : "words failed", textContent: FIRST[1].value(row) }),
    ...numbers,
    make("td", { className: "n", textContent: row.ood_score?.toFixed(1) ?? "–" }, make("small", { textContent: row.ood ? "out of distribution" : "" })));
}

function sortBy(place) {
  const first = columns[place].number === true; // largest fractions first
  order = { column: place, down: order.column === place ? !order.down : first };
  arrange();
}

function arrange() {
  const { column, down } = order;
  const sorted = [...rows];
  if (column !== null) {
    const { value } = columns[column];
    sorted.sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === null || b === null) return (a === null) - (b === null); // what is unknown comes last
      return (down ? -1 : 1) * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    });
  }
  byId("table").tBodies[0].replaceChildren(...sorted.map((row) => shownAs.get(row)));
  byId("table").tHead.querySelectorAll("th").forEach((heading, place) => {
    heading.ariaSort = place !== column ? "none" : down ? "descending" : "ascending";
  });
}

function download() {
  const answers = Object.keys(rows.find((row) => row.fractions)?.fractions ?? {});
  const measured = Object.keys(rows.find((row) => row.numbers)?.numbers ?? {});
  const sets = rows.some((row) => row.classes) ? ["classes"] : [];
  const places = rows.some((row) => row.box) ? ["x", "y", "r90"] : [];
  const scale = rows.some((row) => row.scale_factor) ? ["r90_pixels", "scale_factor"] : [];
  const names = ["id", "status", "reason", "ood", "ood_score", "kind", "path", ...places, ...scale, ...measured.flatMap((name) => [name, `${name}_low`, `${name}_high`]), ...sets, ...answers, ...answers.flatMap((column) => [`${column}_low`, `${column}_high`])];
  const lines = rows.map((row) => {
    const fractions = answers.map((column) => row.fractions?.[column] ?? {});
    return [
      row.id, row.status, row.reason, row.ood, row.ood_score, row.kind, row.summary, ...[...places, ...scale].map((name) => row[name]),
      ...measured.map((name) => row.numbers?.[name] ?? {}).flatMap(({ value, low, high }) => [value, low, high]),
      ...sets.map(() => row.classes?.join(" | ")),
      ...fractions.map(({ value }) => value), ...fractions.flatMap(({ low, high }) => [low, high]),
    ];
  });
  const text = [names, ...lines].map((line) => line.map(quote).join(",")).join("\r\n");
  const link = make("a", { href: URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" })), download: "votes.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function quote(value) {
  const text = value == null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
