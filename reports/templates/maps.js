// Attention maps: each word of a layout, method beside method, the picture seen through the map.
const mapChoice = byId("map-choice").elements;
const withMaps = data.cells.filter((cell) => cell.maps);
const GAP = 1; // between the steps' maps, in their own cells
let lenses = [];

const tileOf = (maps, step, image, phrase) => (step * maps.shape[1] + image) * maps.shape[2] + phrase;
function tilePlace(key, index) {
  const [, height, width, columns] = data.media[key].shape;
  return [(index % columns) * width, Math.floor(index / columns) * height, width, height];
}
// Bright where the word is looked at, a quarter as bright elsewhere.
async function drawLens({ canvas, cell, image, phrase }, step) {
  canvas.wanted = step;
  const [tiles, pictures] = await Promise.all([sheet(cell.maps.media), sheet(cell.media)]);
  if (canvas.wanted !== step) return;
  const draw = canvas.getContext("2d");
  const all = [0, 0, canvas.width, canvas.height];
  const picture = tilePlace(cell.media, image);
  draw.globalCompositeOperation = "source-over";
  draw.globalAlpha = 1;
  draw.drawImage(tiles, ...tilePlace(cell.maps.media, tileOf(cell.maps, step, image, phrase)), ...all);
  draw.globalCompositeOperation = "multiply";
  draw.drawImage(pictures, ...picture, ...all);
  draw.globalCompositeOperation = "lighter";
  draw.globalAlpha = 0.25;
  draw.drawImage(pictures, ...picture, ...all);
}
async function drawSteps(canvas, cell, image, phrase) {
  const tiles = await sheet(cell.maps.media);
  const [, height, width] = data.media[cell.maps.media].shape;
  for (let step = 0; step < cell.maps.shape[0]; step += 1) {
    const at = [(step % canvas.across) * (width + GAP), Math.floor(step / canvas.across) * (height + GAP), width, height];
    canvas.getContext("2d").drawImage(tiles, ...tilePlace(cell.maps.media, tileOf(cell.maps, step, image, phrase)), ...at);
  }
}
function outline(boxes) {
  return boxes.map(([x0, y0, x1, y1]) => element("span", { class: "asked", style: `left:${100 * x0}%;top:${100 * y0}%;width:${100 * (x1 - x0)}%;height:${100 * (y1 - y0)}%` }));
}
function lens(cell, image, phrase, name, boxes) {
  const row = rowOf.get(cell.row);
  const [, height, width] = data.media[cell.media].shape;
  const [, tall, wide] = data.media[cell.maps.media].shape;
  const steps = cell.maps.shape[0];
  const across = Math.ceil(Math.sqrt(steps));
  const down = Math.ceil(steps / across);
  const canvas = element("canvas", { width, height, role: "img", "aria-label": `${row.title} ${row.detail}, seen by ${name}` });
  const small = element("canvas", { width: across * (wide + GAP) - GAP, height: down * (tall + GAP) - GAP, role: "img", "aria-label": `${name}: its map in each of ${steps} steps` });
  small.across = across;
  const cursor = element("span", { class: "at", style: `width:${(100 * wide) / small.width}%;height:${(100 * tall) / small.height}%` });
  const grid = element("div", { class: "tiles" }, small, cursor);
  grid.addEventListener("pointerdown", (event) => {
    const box = small.getBoundingClientRect();
    const part = (from, length, count) => Math.min(count - 1, Math.floor(((from - length[0]) / length[1]) * count));
    const step = part(event.clientY, [box.top, box.height], down) * across + part(event.clientX, [box.left, box.width], across);
    if (step < steps) showMaps(step);
  });
  const value = element("span", {});
  lenses.push({ canvas, small, cell, image, phrase, steps, cursor, across, value, pitch: [wide + GAP, tall + GAP] });
  drawSteps(small, cell, image, phrase);
  return element("figure", { class: "player lens" },
    element("figcaption", {}, element("span", {}, row.title), row.detail ? element("span", { class: "dim" }, row.detail) : null),
    element("div", { class: "views" }, element("div", { class: "through" }, canvas, ...outline(boxes)), grid),
    element("p", { class: "value" }, element("span", { class: "dim" }, "inside its box"), value));
}
function showMaps(step) {
  const { step: slider, reached } = mapChoice;
  slider.value = step;
  reached.textContent = `${Number(slider.value) + 1} / ${Number(slider.max) + 1}`;
  for (const one of lenses) {
    const at = Math.min(Number(slider.value), one.steps - 1);
    drawLens(one, at);
    one.cursor.style.left = `${(100 * (at % one.across) * one.pitch[0]) / one.small.width}%`;
    one.cursor.style.top = `${(100 * Math.floor(at / one.across) * one.pitch[1]) / one.small.height}%`;
    one.value.textContent = `${(100 * one.cell.maps.inside[one.phrase][at]).toFixed(0)} %`;
  }
}
function buildMaps() {
  const { clip, edit, seed, image, step } = mapChoice;
  const ofClip = withMaps.filter((cell) => cell.clip === clip.value);
  const entries = (cells, name) => [...new Set(cells.map((cell) => cell[name]))].map((value) => [value, value]);
  fill(edit, entries(ofClip, "edit"));
  const ofEdit = ofClip.filter((cell) => cell.edit === edit.value);
  fill(seed, entries(ofEdit, "seed"));
  const cells = ofEdit.filter((cell) => String(cell.seed) === seed.value);
  const images = Math.max(...cells.map((cell) => cell.maps.shape[1]));
  fill(image, Array.from({ length: images }, (_, k) => [k, k + 1]));
  image.parentNode.hidden = images < 2;
  lenses = [];
  const words = data.maps.layouts[`${clip.value}/${edit.value}`];
  byId("map-prompt").textContent = data.clips.find((one) => one.key === clip.value).edits.find((one) => one.id === edit.value).prompt;
  byId("map-stage").replaceChildren(...words.flatMap(([name, boxes], phrase) => [
    element("h3", {}, name),
    element("div", { class: "stage lenses" }, ...cells.map((cell) => lens(cell, Math.min(Number(image.value), cell.maps.shape[1] - 1), phrase, name, boxes))),
  ]));
  step.max = Math.max(...cells.map((cell) => cell.maps.shape[0])) - 1;
  showMaps(Math.min(Number(step.value), Number(step.max)));
}
byId("map-choice").addEventListener("submit", (event) => event.preventDefault());
byId("map-choice").addEventListener("input", (event) => (event.target.name === "step" ? showMaps(Number(event.target.value)) : buildMaps()));
fill(mapChoice.clip, [...new Set(withMaps.map((cell) => cell.clip))].map((name) => [name, name]));
mapChoice.step.value = 0;
buildMaps();
