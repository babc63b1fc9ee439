// The same galaxy at all angles: the picture turned beside the fraction of one answer.

import { post } from "/page/api.js";
import { make, makeSvg, percent } from "/page/elements.js";

const STEPS = 24, WIDTH = 300, HEIGHT = 90;

export function makeTurn(frame, file, query, signal) {
  let said = null, column = "", name = "", timer = 0;
  const slider = make("input", { type: "range", min: 0, max: STEPS - 1, value: 0, "aria-label": "Angle", oninput: place });
  const play = make("button", { type: "button", class: "button plain", onclick: toggle }, "Play");
  const begin = make("button", { type: "button", class: "button", onclick: ask }, "Turn it");
  const line = makeSvg("polyline", { class: "turned" });
  const dot = makeSvg("circle", { class: "dot", r: 4 });
  const chart = makeSvg("svg", { viewBox: `0 -6 ${WIDTH} ${HEIGHT + 12}`, class: "chart", role: "img" },
    makeSvg("line", { class: "frame", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
    makeSvg("line", { class: "frame", x1: 0, x2: WIDTH, y1: 0, y2: 0 }), line, dot);
  const note = make("p", { class: "note", role: "status" }, "Ideally, turning changes nothing.");
  const shown = make("div", { hidden: true }, chart, make("div", { class: "playing" }, play, slider));
  const element = make("div", {}, begin, shown, note);

  async function ask() {
    begin.disabled = true;
    note.textContent = "Turning …";
    try {
      said = await post("/v1/turn", [file], { model: query.model, steps: STEPS }, signal);
      begin.hidden = true;
      shown.hidden = false;
      draw();
      slider.focus({ preventScroll: true });
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) toggle();
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = error.message;
      begin.disabled = false;
    }
  }

  function draw() {
    if (!said) return;
    const values = said.fractions[column];
    line.setAttribute("points", values.map((value, step) => `${x(step)},${y(value)}`).join(" "));
    const mean = values.reduce((a, b) => a + b) / STEPS;
    const change = values.reduce((sum, value) => sum + Math.abs(value - mean), 0) / STEPS;
    const words = `“${name}” is ${percent(mean)} of all volunteers on average over ${STEPS} angles, and changes by ` +
      `${(100 * change).toFixed(1)} points; all answers change by ${(100 * said.change).toFixed(1)}.`;
    note.textContent = words;
    chart.setAttribute("aria-label", words);
    place();
  }

  function place() {
    const step = Number(slider.value), angle = said ? said.angles[step] : 0;
    frame.style.transform = `rotate(${-angle}deg)`;
    slider.setAttribute("aria-valuetext", `${angle} degrees`);
    if (!said) return;
    dot.setAttribute("cx", x(step));
    dot.setAttribute("cy", y(said.fractions[column][step]));
  }

  function toggle() {
    if (timer) return stop();
    play.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % STEPS;
      place();
    }, 400);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  function reset() {
    stop();
    slider.value = 0;
    place();
  }

  function show(newColumn, newName) {
    [column, name] = [newColumn, newName];
    draw();
  }

  return { element, show, stop, reset };
}

function x(step) {
  return (WIDTH * step) / (STEPS - 1);
}

function y(fraction) {
  return HEIGHT * (1 - fraction);
}
