// The same galaxy turned: the picture, and the fractions of one question at each angle.

import { ask } from "./api.js";
import { announce, byId, clearProblem, draw, make, percent, showProblem } from "./words.js";

const STEPS = 36;
const SECONDS_AROUND = 18;
const [WIDTH, HEIGHT, LEFT] = [340, 110, 26];

let turned = null; // what the server said
let shown = { question: null, answer: null };
let motion = null; // the frame that is to come

/** Ask how the answer changes with the angle, then turn the picture; with reduced motion, let the reader turn it. */
export async function startTurning(galaxy, signal) {
  if (motion !== null) return stopTurning();
  clearProblem(byId("turn-problem"));
  const button = byId("turn");
  if (!turned) {
    button.disabled = true;
    button.textContent = "Turning …";
    try {
      turned = await ask("/v1/turn", { query: { model: galaxy.model, steps: STEPS }, files: [["file", galaxy.file]], signal });
    } catch (error) {
      showProblem(byId("turn-problem"), error);
      return stopTurning();
    } finally {
      button.disabled = false;
    }
    byId("angle").disabled = false;
    byId("turn-note").textContent = `At ${STEPS} angles, fractions are ${(100 * turned.change).toFixed(1)} points from their mean, on average over all answers.`;
    announce(byId("turn-note").textContent);
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    button.textContent = "Turn it slowly";
    button.disabled = true;
    byId("angle").focus();
    return undefined;
  }
  button.textContent = "Pause";
  const begin = performance.now() - (Number(byId("angle").value) / 360) * SECONDS_AROUND * 1000;
  const step = (now) => {
    turnTo(((360 * (now - begin)) / (1000 * SECONDS_AROUND)) % 360);
    motion = requestAnimationFrame(step);
  };
  motion = requestAnimationFrame(step);
  return undefined;
}

/** Stop turning; `forget` what the server said, too, before another galaxy comes. */
export function stopTurning(forget = false) {
  if (motion !== null) cancelAnimationFrame(motion);
  motion = null;
  byId("turn").textContent = "Turn it slowly";
  if (!forget) return;
  turned = null;
  turnTo(0);
  byId("angle").disabled = true;
  byId("turn-chart").replaceChildren();
  byId("turn-note").textContent = "Turning a galaxy changes nothing about it. Here is what it changes about the answer.";
}

/** Show an angle in degrees, counter-clockwise, and the fractions there; of another question if one is given. */
export function turnTo(angle, question = null, answer = null) {
  byId("picture").style.rotate = `${-angle}deg`;
  byId("angle").value = angle;
  byId("angle-text").textContent = `${Math.round(angle)}°`;
  const another = question && (question !== shown.question || answer !== shown.answer);
  if (question) shown = { question, answer };
  if (!turned || !shown.question) return;
  if (another || !byId("turn-chart").firstChild) drawChart();
  const place = Math.round((angle / 360) * turned.angles.length) % turned.angles.length;
  const x = across(angle);
  const now = byId("turn-chart").querySelector(".now");
  now.setAttribute("x1", x);
  now.setAttribute("x2", x);
  for (const item of byId("turn-chart").querySelectorAll("li")) {
    item.querySelector("span").textContent = percent(turned.fractions[item.dataset.answer][place]);
  }
}

const across = (angle) => LEFT + ((WIDTH - LEFT) * angle) / 360;
const down = (fraction) => 6 + (HEIGHT - 20) * (1 - fraction);

function drawChart() {
  const { question, answer } = shown;
  const chart = draw("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe() });
  for (const [fraction, text] of [[0, "0"], [1, "100 %"]]) {
    chart.append(draw("line", { class: "frame", x1: LEFT, x2: WIDTH, y1: down(fraction), y2: down(fraction) }));
    chart.append(draw("text", { x: LEFT - 4, y: down(fraction) + 3, "text-anchor": "end" }, text));
  }
  for (const angle of [0, 90, 180, 270, 360]) {
    const anchor = angle === 0 ? "start" : angle === 360 ? "end" : "middle";
    chart.append(draw("text", { x: across(angle), y: HEIGHT, "text-anchor": anchor }, `${angle}°`));
  }
  for (const { column } of question.answers) {
    // The circle closes.
    const fractions = [...turned.fractions[column], turned.fractions[column][0]];
    const points = fractions.map((fraction, place) => `${across((360 * place) / STEPS).toFixed(1)},${down(fraction).toFixed(1)}`);
    chart.append(draw("polyline", { class: column === answer ? "likely" : "", points: points.join(" ") }));
  }
  chart.append(draw("line", { class: "now", y1: down(1), y2: down(0) }));
  const items = question.answers.map(({ column, text }) =>
    make("li", { className: column === answer ? "likely" : "", attributes: { "data-answer": column } }, `${text} `, make("span")));
  byId("turn-chart").replaceChildren(chart, make("ul", { className: "shares" }, ...items));
}

function describe() {
  const { question, answer } = shown;
  const fractions = turned.fractions[answer];
  const { text } = question.answers.find(({ column }) => column === answer);
  return `As the picture turns, “${text}” has from ${percent(Math.min(...fractions))} to ${percent(Math.max(...fractions))} of all votes.`;
}
