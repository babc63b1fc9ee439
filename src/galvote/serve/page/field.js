// A wide picture with its galaxies to choose from.

import { make } from "/page/elements.js";

const FRAME = 424 / 50; // widths of a GZ2 picture in radii r90, of which 50 pixels are one

// The picture with a button on each galaxy; `open` is given the number of one.
export function drawField(file, said, open) {
  const picture = make("img", { src: URL.createObjectURL(file), alt: "The wide picture" });
  const frame = make("div", { class: "field" }, picture);
  picture.addEventListener("error", () => frame.remove());
  said.galaxies.forEach((row, index) => {
    const [left, top, right, bottom] = row.box;
    const box = make("button", { type: "button", class: "box", "aria-label": `Galaxy ${row.id}`,
      onclick: () => open(row, index) }, row.id);
    box.style.left = `${(100 * left) / said.width}%`;
    box.style.top = `${(100 * top) / said.height}%`;
    box.style.width = `${(100 * (right - left)) / said.width}%`;
    box.style.height = `${(100 * (bottom - top)) / said.height}%`;
    frame.append(box);
  });
  return frame;
}

export function describeField(said) {
  const words = [`${said.galaxies.length} galaxies found`];
  if (said.too_small) words.push(`${said.too_small} more are too small or faint to classify`);
  if (said.left_out) words.push(`${said.left_out} fainter ones were left out`);
  return `${words.join("; ")}.`;
}

// What a GZ2 picture of this galaxy would show, as a file. Rejects what a browser cannot read.
export async function cutOut(file, row) {
  const side = FRAME * row.r90, pixels = Math.max(Math.round(side), 424);
  const canvas = make("canvas", { width: pixels, height: pixels });
  const context = canvas.getContext("2d");
  const whole = await createImageBitmap(file);
  context.fillRect(0, 0, pixels, pixels);
  const scale = pixels / side;
  context.setTransform(scale, 0, 0, scale, (side / 2 - row.x - 0.5) * scale, (side / 2 - row.y - 0.5) * scale);
  context.drawImage(whole, 0, 0);
  whole.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], `galaxy ${row.id}`, { type: "image/png" });
}
