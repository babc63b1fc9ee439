// The same galaxy rotated: the image, and the fractions of one question at each angle.

import { ask } from "./api.js";
import { announce, byId, clearProblem, draw, make, percent, showProblem } from "./words.js";

const STEPS = 36;
const SECONDS_AROUND = 18;
const [WIDTH, HEIGHT, LEFT] = [340, 110, 26];

let rotated = null; // the server's answer
let shown = { question: null, answer: null };
let motion = null; // the frame that is to come

/** Ask how the answer changes with the angle, then rotate the image; with reduced motion, let the reader rotate it. */
export async function startRotating(galaxy, signal) {
  if (motion !== null) return stopRotating();
  clearProblem(byId("rotate-problem"));
  const button = byId("rotate");
  if (!rotated) {
    button.disabled = true;
    button.textContent = "Rotating …";
    try {
      rotated = await ask("/v1/rotate", { query: { model: galaxy.model.name, steps: STEPS, scale: galaxy.scale }, files: [["file", galaxy.file]], signal });
    } catch (error) {
      showProblem(byId("rotate-problem"), error);
      return stopRotating();
    } finally {
      button.disabled = false;
    }
    byId("angle").disabled = false;
    byId("rotate-note").textContent = `At ${STEPS} angles, fractions are ${(100 * rotated.change).toFixed(1)} points from their mean, on average over all answers.`;
    announce(byId("rotate-note").textContent);
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    button.textContent = "Rotate slowly";
    button.disabled = true;
    byId("angle").focus();
    return undefined;
  }
  button.textContent = "Pause";
  const begin = performance.now() - (Number(byId("angle").value) / 360) * SECONDS_AROUND * 1000;
  const step = (now) => {
    rotateTo(((360 * (now - begin)) / (1000 * SECONDS_AROUND)) % 360);
    motion = requestAnimationFrame(step);
  };
  motion = requestAnimationFrame(step);
  return undefined;
}

/** Stop rotating; `forget` the server's answer, too, before another galaxy comes. */
export function stopRotating(forget = false) {
  if (motion !== null) cancelAnimationFrame(motion);
  motion = null;
  byId("rotate").textContent = "Rotate slowly";
  if (!forget) return;
  rotated = null;
  rotateTo(0);
  byId("angle").disabled = true;
  byId("rotate-chart").replaceChildren();
  byId("rotate-note").textContent = "Orientation should not matter. See how much the answer changes.";
}

/** Show an angle in degrees, counter-clockwise, and the fractions there; of another question if one is given. */
export function rotateTo(angle, question = null, answer = null) {
  byId("image").style.rotate = `${-angle}deg`;
  byId("angle").value = angle;
  byId("angle-text").textContent = `${Math.round(angle)}°`;
  const another = question && (question !== shown.question || answer !== shown.answer);
  if (question) shown = { question, answer };
  if (!rotated || !shown.question) return;
  if (another || !byId("rotate-chart").firstChild) drawChart();
  const place = Math.round((angle / 360) * rotated.angles.length) % rotated.angles.length;
  const x = across(angle);
  const now = byId("rotate-chart").querySelector(".now");
  now.setAttribute("x1", x);
  now.setAttribute("x2", x);
  for (const item of byId("rotate-chart").querySelectorAll("li")) {
    item.querySelector("span").textContent = percent(rotated.fractions[item.dataset.answer][place]);
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
    const fractions = [...rotated.fractions[column], rotated.fractions[column][0]];
    const points = fractions.map((fraction, place) => `${across((360 * place) / STEPS).toFixed(1)},${down(fraction).toFixed(1)}`);
    chart.append(draw("polyline", { class: column === answer ? "likely" : "", points: points.join(" ") }));
  }
  chart.append(draw("line", { class: "now", y1: down(1), y2: down(0) }));
  const items = question.answers.map(({ column, text }) =>
    make("li", { className: column === answer ? "likely" : "", attributes: { "data-answer": column } }, `${text} `, make("span")));
  byId("rotate-chart").replaceChildren(chart, make("ul", { className: "shares" }, ...items));
}

function describe() {
  const { question, answer } = shown;
  const fractions = rotated.fractions[answer];
  const { text } = question.answers.find(({ column }) => column === answer);
  return `As the image rotates, “${text}” has from ${percent(Math.min(...fractions))} to ${percent(Math.max(...fractions))} of all votes.`;
}
