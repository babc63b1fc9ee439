// One galaxy: its picture with a heat map, its path, its tree, and how it fares when turned.

import { post } from "/page/api.js";
import { make, percent, readSvg, say } from "/page/elements.js";
import { makeTurn } from "/page/turn.js";

export function showGalaxy(place, file, row, tree, query, back) {
  const leave = new AbortController();
  const picture = make("img", { src: URL.createObjectURL(file), alt: `The picture ${row.id}`, class: "seen" });
  // FITS and TIFF are no pictures to a browser; what the network saw takes their place.
  picture.addEventListener("error", () => picture.classList.add("unshown"));
  const heat = make("img", { alt: "", hidden: true });
  const frame = make("div", { class: "frame-of-galaxy" }, picture, heat);
  const caption = make("figcaption", { "aria-live": "polite" });
  const question = make("select", {}, ...tree.questions.map((each) => make("option", { value: each.key }, each.text)));
  const answer = make("select", {});
  const method = make("select", {}, make("option", { value: "gradcam" }, "Grad-CAM"),
    make("option", { value: "integrated-gradients" }, "integrated gradients"));
  const button = make("button", { type: "button", class: "button", onclick: explain }, "Show what mattered");
  const plain = make("button", { type: "button", class: "button plain", hidden: true, onclick: hideHeat }, "Hide");
  const turn = makeTurn(frame, file, query, leave.signal);
  const drawings = drawTree(row, choose);
  const title = make("h2", { tabindex: "-1" }, row.id);

  function choose(column) {
    const of = tree.questions.find((each) => each.answers.some((one) => one.column === column));
    question.value = of.key;
    fillAnswers(column);
  }

  function fillAnswers(column) {
    const of = tree.questions.find((each) => each.key === question.value);
    answer.replaceChildren(...of.answers.map((each) => make("option", { value: each.column },
      `${each.text}: ${saidOf(row.fractions[each.column])}`)));
    const likeliest = of.answers.reduce((a, b) =>
      row.fractions[b.column].value > row.fractions[a.column].value ? b : a);
    answer.value = column ?? likeliest.column;
    mark();
  }

  function mark() {
    for (const each of drawings.querySelectorAll("g.answer")) {
      const chosen = each.dataset.answer === answer.value;
      each.classList.toggle("chosen", chosen);
      each.setAttribute("aria-pressed", chosen);
    }
    hideHeat();
    turn.show(answer.value, answer.selectedOptions[0].textContent.split(":")[0]);
  }

  function hideHeat() {
    heat.hidden = plain.hidden = true;
    caption.textContent = "";
  }

  async function explain() {
    const asked = answer.value;
    caption.textContent = "Looking for what mattered …";
    button.disabled = true;
    try {
      const said = await post("/v1/explain", [file],
        { ...query, question: question.value, answer: asked, method: method.value }, leave.signal);
      if (answer.value !== asked) return;
      turn.reset();
      heat.src = said.overlay;
      heat.alt = `Heat map for ${answer.selectedOptions[0].textContent}`;
      heat.hidden = plain.hidden = false;
      caption.textContent = "Bright is what spoke for this answer, on what the network saw. " +
        "It says what the network used, not what is true of the galaxy.";
    } catch (error) {
      if (error.name !== "AbortError") caption.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }

  question.addEventListener("change", () => fillAnswers());
  answer.addEventListener("change", mark);
  method.addEventListener("change", hideHeat);
  const path = row.path.map((step) => `${step.text} (${percent(step.fraction)})`).join(" › ");
  place.replaceChildren(
    make("div", { class: "title" }, title,
      ...(back ? [make("button", { type: "button", class: "button plain", onclick: back }, "Back to all")] : [])),
    make("p", { class: "path" }, path || "No path"),
    ...(row.unlike ? [make("p", { class: "warning" }, make("b", {}, "Unlike what the network knows. "),
      "Intervals may not hold, and the answers may mean nothing.")] : []),
    make("div", { class: "beside" },
      make("figure", {}, frame, caption),
      make("div", { class: "controls" },
        make("h3", {}, "What mattered"),
        make("label", {}, "Question ", question), make("label", {}, "Answer ", answer),
        make("label", {}, "Method ", method), make("p", {}, button, plain),
        make("h3", {}, "Turned"), turn.element)),
    make("h3", {}, "Down the tree"),
    make("p", { class: "note" }, "Bands are as wide as the share of all volunteers; blue is the likely path. Numbers are " +
      "per cent of all volunteers with their interval. Choose an answer to ask what mattered for it."),
    drawings, listAnswers(row, tree));
  fillAnswers();
  title.focus({ preventScroll: true });
  title.scrollIntoView({ block: "nearest" });
  say(`${row.id} is classified.`);
  return () => {
    leave.abort();
    turn.stop();
    URL.revokeObjectURL(picture.src);
  };
}

export function saidOf(fraction) {
  const interval = fraction.low === null ? "" : ` (${Math.round(100 * fraction.low)}–${Math.round(100 * fraction.high)})`;
  return percent(fraction.value) + interval;
}

function drawTree(row, choose) {
  const drawings = make("div", { class: "drawings" });
  for (const width of ["wide", "narrow"]) {
    const svg = readSvg(row.drawing[width]);
    // Buttons inside an image would be hidden from those who do not see it.
    svg.setAttribute("role", "group");
    svg.style.setProperty("--least", `${svg.viewBox.baseVal.width}px`);
    for (const each of svg.querySelectorAll("g.answer")) {
      each.setAttribute("role", "button");
      each.setAttribute("tabindex", "0");
      each.setAttribute("aria-label", each.querySelector("title").textContent);
      each.addEventListener("click", () => choose(each.dataset.answer));
      each.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose(each.dataset.answer);
      });
    }
    drawings.append(make("div", { class: `${width} scrolls`, tabindex: "0", role: "region",
      "aria-label": "The decision tree with its votes" }, svg));
  }
  return drawings;
}

function listAnswers(row, tree) {
  const rows = tree.questions.flatMap((each) => each.answers.map((one) => make("tr", {},
    make("td", {}, each.text), make("td", {}, one.text),
    make("td", { class: "n" }, saidOf(row.fractions[one.column])))));
  return make("details", {}, make("summary", {}, "All answers as a table"),
    make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "All answers" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["question", "answer", "of all volunteers"].map((each) =>
        make("th", { scope: "col" }, each)))), make("tbody", {}, ...rows))));
}
