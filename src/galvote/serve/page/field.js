// A wide image with its galaxies as buttons on it.

import { byId, FRAME, make } from "./words.js";

const PIXELS = 424;

/**
 * Show a wide image; returns a row for each galaxy. `open` is called with the row that the reader chooses. Circles
 * have the colours of the kinds of the model's tree.
 *
 * `shown` is the file's image, or null for a kind that the browser cannot show: then the server's is taken.
 */
export async function showField(found, file, shown, tree, open) {
  const image = shown ?? await decode(found.image);
  const scale = image.width / found.width;
  const colours = Object.fromEntries(tree.kinds.map(({ name, colour }) => [name, colour]));
  const rows = found.galaxies.map((galaxy) => ({
    ...galaxy,
    title: `galaxy ${galaxy.id}`,
    cut: () => cut(galaxy, image, scale),
  }));
  byId("field-title").textContent = rows.length ? `${file.name}: ${rows.length} galaxies` : `${file.name}: no galaxies`;
  byId("field-note").textContent = remarks(found);
  byId("sky").replaceChildren(plane(found, shown ? URL.createObjectURL(file) : found.image, file.name, rows, colours, open));
  byId("field").hidden = false;
  return rows;
}

/** Decode a data URL; `fetch`, which could, may ask nobody but the server. */
async function decode(url) {
  const image = make("img", { src: url });
  await image.decode();
  return createImageBitmap(image);
}

function remarks({ galaxies, too_small: small, left_out: more }) {
  const sentences = [];
  if (!galaxies.length) sentences.push("Nothing in it is large and bright enough to classify. If it shows one galaxy, say so above and choose it again.");
  else sentences.push("Choose a galaxy to see its votes.");
  if (small) sentences.push(`${small} more are too small or faint.`);
  if (more) sentences.push(`${more} fainter ones are left out.`);
  return sentences.join(" ");
}

function plane(found, source, name, rows, colours, open) {
  const image = make("img", { src: source, alt: `${name}, a wide image` });
  const buttons = rows.map((row) => {
    const button = make("button", {
      type: "button",
      className: row.ood ? "unknown" : "",
      title: `${row.id}: ${row.summary}`,
      attributes: { "aria-label": `Galaxy ${row.id}: ${row.summary}`, "aria-pressed": "false" },
      onclick: () => {
        for (const each of buttons) each.ariaPressed = String(each === button);
        open(row);
      },
    });
    const radius = Math.max(1.7 * row.r90, found.width / 100);
    button.style.setProperty("--kind", colours[row.kind] ?? "");
    button.style.left = `${(100 * (row.x + 0.5 - radius)) / found.width}%`;
    button.style.top = `${(100 * (row.y + 0.5 - radius)) / found.height}%`;
    button.style.width = `${(200 * radius) / found.width}%`;
    button.style.height = `${(200 * radius) / found.height}%`;
    return button;
  });
  return make("div", { className: "plane" }, image, ...buttons);
}

/** Cut a galaxy's frame out of the image, when it is needed. */
function cut(galaxy, image, scale) {
  const frame = scale * FRAME * galaxy.r90;
  const [left, top] = [galaxy.x, galaxy.y].map((centre) => scale * (centre + 0.5) - frame / 2);
  const canvas = make("canvas", { width: PIXELS, height: PIXELS });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, PIXELS, PIXELS);
  context.drawImage(image, left, top, frame, frame, 0, 0, PIXELS, PIXELS);
  return new Promise((resolve) => { canvas.toBlob((blob) => resolve(new File([blob], `galaxy-${galaxy.id}.png`, { type: "image/png" })), "image/png"); });
}
