// What is chosen goes to the server; what it says is shown.

import { get, getPicture, keepToken, post } from "/page/api.js";
import { make, say } from "/page/elements.js";
import { cutOut, describeField, drawField } from "/page/field.js";
import { showGalaxy } from "/page/galaxy.js";
import { showTable } from "/page/table.js";

const at = (id) => document.getElementById(id);
const result = at("result"), one = at("one"), many = at("many"), files = at("files");
let tree = null, leave = () => {}, asked = new AbortController(), again = start;

async function start() {
  const [models, questions, examples] = await Promise.all(
    ["/v1/models", "/v1/tree", "/v1/examples"].map(get));
  tree = questions;
  at("model").replaceChildren(...models.models.map((each) => make("option", { value: each.name }, each.name)));
  at("model").value = models.default;
  at("examples").replaceChildren(...await Promise.all(examples.map(offer)));
}

async function offer(example) {
  const file = await getPicture(example.url, `${example.name}.jpg`);
  const picture = make("img", { src: URL.createObjectURL(file), alt: "", width: 72, height: 72 });
  return make("button", { type: "button", onclick: () => run(() => classify([file])) },
    picture, example.name.replaceAll("-", " "));
}

// Runs what was asked for instead of whatever ran before, and says if it fails.
async function run(task) {
  asked.abort();
  asked = new AbortController();
  const mine = asked;
  again = () => run(task);
  at("problem").hidden = true;
  result.setAttribute("aria-busy", "true");
  say("The network looks …");
  try {
    await task(mine.signal);
  } catch (error) {
    if (error.name === "AbortError" || mine !== asked) return;
    fail(error);
  } finally {
    if (mine === asked) result.removeAttribute("aria-busy");
  }
}

function fail(error) {
  say("");
  if (error.code === 401) {
    at("token-form").hidden = false;
    at("token").focus();
  }
  at("problem").textContent = error.message;
  at("problem").hidden = false;
}

function query() {
  return { model: at("model").value };
}

function show(place) {
  leave();
  leave = () => {};
  for (const each of [one, many, at("empty")]) each.hidden = each !== place;
}

async function classify(chosen) {
  if (at("search").checked && chosen.length === 1) return search(chosen[0]);
  const signal = asked.signal;
  const said = await post("/v1/predict", chosen,
    { ...query(), views: at("views").value, drawing: chosen.length === 1 }, signal);
  if (chosen.length === 1) {
    const [row] = said.galaxies;
    if (row.status !== "ok") throw new Error(`${row.id}: ${row.reason}`);
    show(one);
    leave = showGalaxy(one, chosen[0], row, tree, query());
    return;
  }
  show(many);
  showTable(many, said.galaxies, (row, index) => run(() => open(chosen[index])));
  const bad = said.galaxies.filter((row) => row.status !== "ok").length;
  say(`${chosen.length - bad} of ${chosen.length} pictures classified${bad ? "; the table says what is wrong with the rest" : ""}.`);
  many.querySelector("h2").focus();
}

async function search(file) {
  const said = await post("/v1/field", [file], { ...query(), views: at("views").value }, asked.signal);
  show(many);
  if (!said.galaxies.length) {
    many.replaceChildren(make("p", { class: "empty" }, "No galaxy is found that is large and bright enough to classify. " +
      "Without the search, the whole picture is taken for one."));
  } else {
    const choose = (row) => run(async () => open(await cutOut(file, row)));
    showTable(many, said.galaxies, choose, [drawField(file, said, choose)]);
  }
  say(describeField(said));
}

// One galaxy of several, with a way back to where it was chosen.
async function open(file) {
  const said = await post("/v1/predict", [file],
    { ...query(), views: at("views").value, drawing: true }, asked.signal);
  const from = document.activeElement;
  show(one);
  leave = showGalaxy(one, file, said.galaxies[0], tree, query(), () => {
    show(many);
    from?.focus();
  });
}

function take(list) {
  const chosen = [...list];
  if (chosen.length) run(() => classify(chosen));
}

files.addEventListener("change", () => {
  take(files.files);
  files.value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(at("token").value);
  at("token-form").hidden = true;
  at("problem").hidden = true;
  const next = again === start ? [] : [again];
  start().then(() => next.forEach((each) => each())).catch(fail);
});

start().catch(fail);
