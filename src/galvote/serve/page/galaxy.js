// One galaxy: its image, its votes down the tree, what mattered, and how stable that is.

import { ask } from "./api.js";
import { backTo, markRow } from "./list.js";
import { rotateTo, startRotating, stopRotating } from "./rotate.js";
import { announce, byId, clearProblem, COMPACT, FRAME, interval, make, percent, showProblem } from "./words.js";

const WIDE = 600; // pixels, from which on the wide drawing fits

let galaxy = null; // the row that is shown, with the model that answered
let chosen = null; // {question, answer}
let asking = null; // what can stop the requests for this galaxy

/** Set up what shows a galaxy. */
export function startGalaxy() {
  byId("question").onchange = () => choose(byId("question").value, likeliest(byId("question").value));
  byId("method").onchange = () => showWhatMattered();
  for (const input of document.querySelectorAll("input[name=shown]")) {
    input.onchange = () => (input.value === "heat" ? showWhatMattered() : showPicture());
  }
  byId("back").onclick = () => backTo(galaxy);
  byId("rotate").onclick = async () => {
    showPicture();
    await startRotating(galaxy, asking?.signal);
    rotateQuestion();
  };
  byId("angle").oninput = () => {
    showPicture();
    stopRotating();
    rotateTo(Number(byId("angle").value));
  };
  new ResizeObserver(() => {
    if (galaxy?.figures && byId("tree").dataset.width !== widthOfDrawing()) drawVotes();
  }).observe(byId("tree"));
}

/** Forget the galaxy that is shown. */
export function hideGalaxy() {
  asking?.abort();
  stopRotating(true);
  galaxy = null;
  byId("answer").hidden = true;
}

/**
 * Show a galaxy: a row as the server answered it, with the `model` that did, and with its `file` or a way to `cut` it
 * out of a wide image. Whatever is asked of it later is asked of that model.
 */
export async function showGalaxy(row) {
  hideGalaxy();
  asking = new AbortController();
  galaxy = row;
  row.file ??= await row.cut();
  markRow(row);
  for (const id of ["heat-problem", "rotate-problem", "tree-problem"]) clearProblem(byId(id));
  byId("answer-name").textContent = row.title ?? row.id;
  byId("answer-title").textContent = row.summary;
  byId("back").hidden = byId("list").hidden;
  byId("answer-flag").hidden = !row.ood;
  byId("answer").classList.toggle("unknown", Boolean(row.ood));
  const scaled = row.scale_factor ? ` Its r90 is ${row.r90_pixels?.toFixed(0) ?? "?"} pixels, ${row.scale_factor.toFixed(2)} times that of a GZ2 frame.` : "";
  byId("answer-model").textContent = `Answered by ${row.model.name}.${scaled} ${row.reason}`;
  const options = row.model.tree.questions.map(({ name, text }) => make("option", { value: name, textContent: text }));
  byId("question").replaceChildren(...options);
  const image = byId("image");
  image.alt = `${row.title ?? row.id}, the image`;
  image.onload = () => zoom(image);
  image.onerror = showCutout;
  image.dataset.failed = "";
  image.src = URL.createObjectURL(row.file);
  byId("tree").replaceChildren();
  showPicture();
  showAnswers();
  byId("answer").hidden = false;
  byId("answer-title").focus();
  setChosen(row.path[0].question, row.path[0].answer);
  await addFigures();
}

/** Ask for the figures of a galaxy that came without them, one of many, and draw its votes. */
async function addFigures() {
  const row = galaxy;
  try {
    if (!row.figures) [{ figures: row.figures }] = await row.figured();
    if (row !== galaxy) return;
    drawVotes();
    if (byId("image").dataset.failed) showCutout();
  } catch (error) {
    showProblem(byId("tree-problem"), error, addFigures);
  }
}

/** Show the part of an image that the model's network sees, so that the heat lies where it belongs. */
function zoom({ naturalWidth: across, naturalHeight: down }) {
  const fieldOfView = across === COMPACT.pixels && down === COMPACT.pixels ? COMPACT.fieldOfView : FRAME;
  byId("image").style.scale = fieldOfView / (galaxy.scale_factor ?? 1) / galaxy.model.field_of_view;
}

/** The question of that name, in the tree of the model that answered. */
const findQuestion = (wanted) => galaxy.model.tree.questions.find(({ name }) => name === wanted);

/** The answer with most votes. */
function likeliest(question) {
  const { answers } = findQuestion(question);
  const votes = answers.map(({ column }) => galaxy.fractions[column].value);
  return answers[votes.indexOf(Math.max(...votes))].column;
}

function widthOfDrawing() {
  return byId("tree").clientWidth < WIDE ? "narrow" : "wide";
}

function drawVotes() {
  clearProblem(byId("tree-problem"));
  const width = widthOfDrawing();
  const drawing = new DOMParser().parseFromString(galaxy.figures[width], "image/svg+xml");
  const svg = document.importNode(drawing.documentElement, true);
  letAnswersBeChosen(svg);
  byId("tree").replaceChildren(svg);
  byId("tree").dataset.width = width;
  markChosen();
}

function letAnswersBeChosen(svg) {
  // Buttons within an image would not be told of.
  svg.setAttribute("role", "group");
  const answers = [...svg.querySelectorAll("g.answer")];
  answers.forEach((answer, place) => {
    answer.setAttribute("role", "button");
    answer.setAttribute("aria-label", answer.querySelector("title").textContent);
    answer.setAttribute("tabindex", "-1");
    const take = () => choose(answer.dataset.question, answer.dataset.answer, true);
    answer.addEventListener("click", take);
    answer.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) answers.at((place + step) % answers.length).focus();
      else if (event.key === "Enter" || event.key === " ") take();
      else return;
      event.preventDefault();
    });
  });
}

function setChosen(question, answer) {
  chosen = { question, answer };
  byId("question").value = question;
  markChosen();
  rotateQuestion();
}

function choose(question, answer) {
  setChosen(question, answer);
  showWhatMattered();
}

function markChosen() {
  for (const answer of byId("tree").querySelectorAll("g.answer")) {
    const own = answer.dataset.answer === chosen?.answer;
    answer.setAttribute("aria-pressed", own);
    answer.setAttribute("tabindex", own ? "0" : "-1");
  }
}

function rotateQuestion() {
  rotateTo(Number(byId("angle").value), findQuestion(chosen.question), chosen.answer);
}

function show(what) {
  document.querySelector(`input[name=shown][value=${what}]`).checked = true;
  byId("heat").hidden = what !== "heat";
  byId("heat-part").hidden = what !== "heat";
}

function showPicture() {
  show("image");
  clearProblem(byId("heat-problem"));
  byId("stage-caption").textContent = "";
}

async function explain() {
  return ask("/v1/explain", {
    query: { model: galaxy.model.name, scale: galaxy.scale, method: byId("method").value, ...chosen },
    files: [["file", galaxy.file]],
    signal: asking?.signal,
  });
}

async function showWhatMattered() {
  const [shown, asked] = [galaxy, chosen];
  stopRotating();
  rotateTo(0);
  show("heat");
  byId("heat").hidden = true;
  clearProblem(byId("heat-problem"));
  byId("aperture").classList.add("waiting");
  byId("stage-caption").textContent = "Finding out what mattered …";
  try {
    const answered = await explain();
    if (shown !== galaxy || asked !== chosen) return;
    const { text, answers } = findQuestion(answered.question);
    const { text: answer } = answers.find(({ column }) => column === answered.answer);
    byId("heat").src = answered.overlay;
    byId("heat").alt = `What mattered for the answer ${answer}, bright over the galaxy`;
    byId("heat").hidden = document.querySelector("input[name=shown]:checked").value !== "heat";
    byId("stage-caption").textContent = `Bright: what mattered for “${answer}”, the answer of ${percent(answered.fraction)} of those asked.`;
    announce(`Shown: what mattered for ${answer}, to the question: ${text}`);
  } catch (error) {
    if (shown !== galaxy) return;
    byId("stage-caption").textContent = "";
    showProblem(byId("heat-problem"), error, showWhatMattered);
  } finally {
    if (asked === chosen) byId("aperture").classList.remove("waiting");
  }
}

/** Show what the network saw of an image that the browser cannot show, such as FITS. */
function showCutout() {
  const image = byId("image");
  image.style.scale = 1;
  image.onerror = image.onload = null;
  if (galaxy?.figures) image.src = galaxy.figures.cutout;
  image.dataset.failed = galaxy?.figures ? "" : "yes";
}

function showAnswers() {
  const rows = galaxy.model.tree.questions.flatMap(({ text, answers }) =>
    answers.map((answer, place) => {
      const fraction = galaxy.fractions[answer.column];
      const heading = place ? [] : [make("th", { scope: "rowgroup", rowSpan: answers.length, textContent: text })];
      return make("tr", {}, ...heading,
        make("td", { textContent: answer.text }),
        make("td", { className: "n", textContent: percent(fraction.value) }),
        make("td", { className: "n", textContent: interval(fraction) || "–" }));
    }));
  byId("answers").tBodies[0].replaceChildren(...rows);
}
