// A wide picture with its galaxies as buttons on it.

import { byId, inWords, make } from "./words.js";

const FRAME = 424 / 50; // width of a galaxy's frame in radii r90: Galaxy Zoo 2 pictures have 50 pixels to one
const PIXELS = 424;

/** Show a wide picture; returns a row for each galaxy. `open` is called with the row that the reader chooses. */
export async function showField(found, file, open) {
  const image = await createImageBitmap(file).catch(() => null);
  const rows = found.galaxies.map((galaxy) => ({ ...galaxy, title: `galaxy ${galaxy.id}`, ...pictures(galaxy, image) }));
  byId("field-title").textContent = rows.length ? `${file.name}: ${rows.length} galaxies` : `${file.name}: no galaxies`;
  byId("field-note").textContent = remarks(found, image);
  byId("sky").replaceChildren();
  if (image) byId("sky").append(plane(found, file, rows, open));
  byId("field").hidden = false;
  return rows;
}

function remarks({ galaxies, too_small: small, left_out: more }, image) {
  const said = [];
  if (!galaxies.length) said.push("Nothing in it is large and bright enough to classify. If it shows one galaxy, say so above and choose it again.");
  else if (image) said.push("Choose a galaxy to see its votes.");
  else said.push("The browser cannot show this kind of file, so its galaxies are only in the table.");
  if (small) said.push(`${small} more are too small or faint.`);
  if (more) said.push(`${more} fainter ones are left out.`);
  return said.join(" ");
}

function plane(found, file, rows, open) {
  const picture = make("img", { src: URL.createObjectURL(file), alt: `${file.name}, a wide picture` });
  const buttons = rows.map((row) => {
    const button = make("button", {
      type: "button",
      title: `${row.id}: ${inWords(row.path)}`,
      attributes: { "aria-label": `Galaxy ${row.id}: ${inWords(row.path)}`, "aria-pressed": "false" },
      onclick: () => {
        for (const each of buttons) each.ariaPressed = String(each === button);
        open(row);
      },
    });
    const radius = Math.max(1.7 * row.r90, found.width / 100);
    button.style.left = `${(100 * (row.x + 0.5 - radius)) / found.width}%`;
    button.style.top = `${(100 * (row.y + 0.5 - radius)) / found.height}%`;
    button.style.width = `${(200 * radius) / found.width}%`;
    button.style.height = `${(200 * radius) / found.height}%`;
    return button;
  });
  return make("div", { className: "plane" }, picture, ...buttons);
}

/** Cut a galaxy's frame out of the picture, when it is needed. */
function pictures(galaxy, image) {
  if (!image) return { picture: galaxy.thumbnail, file: null };
  const frame = FRAME * galaxy.r90;
  const canvas = make("canvas", { width: PIXELS, height: PIXELS });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, PIXELS, PIXELS);
  const cut = () => {
    context.drawImage(image, galaxy.x + 0.5 - frame / 2, galaxy.y + 0.5 - frame / 2, frame, frame, 0, 0, PIXELS, PIXELS);
    return new Promise((resolve) => { canvas.toBlob((blob) => resolve(new File([blob], `galaxy-${galaxy.id}.png`, { type: "image/png" })), "image/png"); });
  };
  return { cut };
}
