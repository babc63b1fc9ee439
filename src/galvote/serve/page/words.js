// Small things that several parts of the page use: elements, numbers, messages.

/** Width of an image in r90, unless its 128 × 128 pixels say that it is compact. */
export const FRAME = 8.48;
export const COMPACT = { pixels: 128, fieldOfView: 5.12 };

/** Return the element of that id. */
export const byId = (id) => document.getElementById(id);

/** Make an element with properties, attributes (in `attributes`) and children, which may be text. */
export function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Make an SVG element with attributes and children. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Say a fraction in per cent. */
export function percent(fraction) {
  return fraction > 0 && fraction < 0.005 ? "<1 %" : `${Math.round(100 * fraction)} %`;
}

/** Say an interval in per cent; empty if there is none. */
export function interval({ low, high }) {
  return low == null || high == null ? "" : `${Math.round(100 * low)}–${Math.round(100 * high)}`;
}

/** Let screen readers say something. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Show what went wrong beside what caused it, with a button that tries again unless the server never can (501); nothing for what was stopped. */
export function showProblem(place, error, again = null) {
  if (error.name === "AbortError") return;
  place.replaceChildren(...[error.message].flat().map((text) => make("p", { textContent: text })));
  if (again && error.code !== 501) place.append(make("button", { type: "button", textContent: "Try again", onclick: again }));
  place.hidden = false;
}

/** Take a problem away. */
export function clearProblem(place) {
  place.replaceChildren();
  place.hidden = true;
}
