// The page: takes images, asks the server, and shows what it says.

import { ask } from "./api.js";
import { showField } from "./field.js";
import { hideGalaxy, showGalaxy, startGalaxy } from "./galaxy.js";
import { addRows, showList, startList } from "./list.js";
import { announce, byId, clearProblem, make, showProblem } from "./words.js";

const FILES_AT_ONCE = 16;
const BYTES_AT_ONCE = 24e6;

let models = [];
let running = null; // what can stop the work that is under way

function settings() {
  return { model: byId("model").value, tta: byId("tta").value, level: byId("level").value };
}

/** Say that the scale of images seems wrong, and offer what may be right. */
function offerScale(files, remark) {
  const place = byId("scale-note");
  const [sentence] = remark.match(/^.*?\.(?= |$)/);
  const measure = () => {
    byId("scale").value = "auto";
    classify(files);
  };
  const searchIt = () => {
    document.querySelector("input[name=kind][value=field]").checked = true;
    search(files[0]);
  };
  place.replaceChildren(make("p", { textContent: sentence }), make("button", { type: "button", textContent: "Measure and rescale", onclick: measure }));
  if (files.length === 1) place.append(" ", make("button", { type: "button", textContent: "Search it for galaxies", onclick: searchIt }));
  place.hidden = false;
}

async function start() {
  listenForFiles();
  startList(openRow);
  byId("stop").onclick = () => running?.abort();
  try {
    const answer = await ask("/v1/models");
    models = answer.models;
    for (const model of models) {
      byId("model").append(make("option", { value: model.name, textContent: model.name, selected: model.name === answer.default }));
    }
    byId("model").onchange = describeModel;
    describeModel();
    startGalaxy();
    await showExamples();
  } catch (error) {
    showProblem(byId("problem"), error, () => location.reload());
  }
}

const findModel = (wanted) => models.find(({ name }) => name === wanted);

function describeModel() {
  const model = findModel(byId("model").value);
  const rmse = model.rmse_tta_1 ?? model.rmse_tta_8;
  const error = rmse ? `, RMSE ${rmse.toFixed(4)}` : "";
  byId("model-text").textContent = `The chosen model is ${model.name}, ${(model.parameters / 1e6).toFixed(1)} million parameters${error}.`;
  byId("tree-text").textContent = [model.tree.title, model.tree.citation].filter(Boolean).join(": ") || model.tree.name;
}

async function showExamples() {
  const examples = await ask("/v1/examples");
  const files = await Promise.all(
    examples.map(async ({ name, url }) => new File([await ask(url, { as: "blob" })], `${name}.jpg`, { type: "image/jpeg" })),
  );
  for (const file of files) {
    const name = file.name.replace(".jpg", "").replaceAll("-", " ");
    const button = make("button", { type: "button", onclick: () => classify([file]) });
    button.append(make("span", { className: "disc" }, make("img", { src: URL.createObjectURL(file), alt: "" })), name);
    byId("examples").append(make("li", {}, button));
  }
  byId("examples-part").hidden = false;
}

function listenForFiles() {
  const [input, drop] = [byId("file"), byId("drop")];
  byId("choose").onclick = () => input.click();
  input.onchange = () => {
    take([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  };
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
}

function take(files) {
  if (!files.length) return;
  const wide = document.querySelector("input[name=kind]:checked").value === "field";
  if (!wide) classify(files);
  else if (files.length === 1) search(files[0]);
  else showProblem(byId("problem"), { message: "Wide images are searched one at a time: choose one, or say that each shows one galaxy." });
}

/** Run some work with its progress shown; a second work stops the first. */
async function work(what, again, run) {
  running?.abort();
  const own = (running = new AbortController());
  for (const id of ["problem", "scale-note"]) clearProblem(byId(id));
  for (const id of ["field", "list", "answer"]) byId(id).hidden = true;
  hideGalaxy();
  const bar = byId("progress");
  const report = (done, total) => {
    if (total > 1) [bar.max, bar.value] = [total, done];
    else bar.removeAttribute("value");
    byId("working-text").textContent = total > 1 ? `${what}: ${done} of ${total}` : `${what} …`;
  };
  report(0, 1);
  byId("working").hidden = false;
  announce(`${what}.`);
  try {
    await run(own.signal, report);
  } catch (error) {
    if (running === own && error.name === "AbortError") announce("Stopped.");
    if (running === own) showProblem(byId("problem"), error, again);
  } finally {
    if (running === own) byId("working").hidden = true;
  }
}

function classify(files) {
  return work(files.length === 1 ? `Looking at ${files[0].name}` : "Looking at images", () => classify(files), async (signal, report) => {
    const rows = [];
    const query = { ...settings(), scale: byId("scale").value };
    const model = findModel(query.model);
    for (const batch of inBatches(files)) {
      const found = await predict(batch, { ...query, figures: files.length === 1 }, signal);
      for (const row of found) Object.assign(row, { model, scale: query.scale, figured: () => predict([row.file], { ...query, figures: true }) });
      rows.push(...found);
      report(rows.length, files.length);
      if (files.length > 1) {
        if (rows.length === found.length) showList(`${files.length} images`, model.tree);
        addRows(found);
      }
    }
    const [only] = rows;
    const remark = rows.find((row) => row.remark)?.remark;
    if (remark) offerScale(files, remark);
    if (files.length > 1) {
      const failed = rows.filter(({ status }) => status !== "ok").length;
      announce(`${files.length} images classified${failed ? `, ${failed} of them cannot be read` : ""}. They are in a table.`);
      byId("list-title").focus();
    } else if (only.status === "ok") {
      await openRow(only);
    } else {
      showProblem(byId("problem"), { message: [`${only.id}: ${only.reason}`, "Choose another file, or try one of the examples."] });
    }
  });
}

async function predict(files, query, signal = null) {
  const { galaxies, remark } = await ask("/v1/predict", { query, files: files.map((file) => ["files", file]), signal });
  return galaxies.map((galaxy, place) => ({ ...galaxy, remark, id: files[place].name, file: files[place] }));
}

function search(file) {
  return work(`Searching ${file.name} for galaxies`, () => search(file), async (signal) => {
    const shown = await createImageBitmap(file).catch(() => null);
    const query = settings();
    const model = findModel(query.model);
    const found = await ask("/v1/field", { query: { ...query, figures: true, image: !shown }, files: [["file", file]], signal });
    const rows = await showField(found, file, shown, model.tree, openRow);
    for (const row of rows) row.model = model;
    announce(`${rows.length} galaxies found.`);
    byId("field-title").focus();
    if (!rows.length) return;
    showList(`${rows.length} galaxies`, model.tree);
    addRows(rows);
  });
}

async function openRow(row) {
  announce(`${row.title ?? row.id}: ${row.summary}.`);
  await showGalaxy(row);
}

function inBatches(files) {
  const batches = [];
  let bytes = 0;
  for (const file of files) {
    const last = batches.at(-1);
    bytes += file.size;
    if (!last || last.length === FILES_AT_ONCE || bytes > BYTES_AT_ONCE) {
      batches.push([file]);
      bytes = file.size;
    } else last.push(file);
  }
  return batches;
}

start();
