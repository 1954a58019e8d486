"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Leaderboard: filters choose among tables computed beforehand, since an interval cannot be
// derived from others; sorting keeps the references apart.
function filterTables() {
  const { dataset, kind, text } = byId("filters").elements;
  const wanted = text.value.trim().toLowerCase();
  let shown = 0;
  for (const variant of document.querySelectorAll(".variant[data-dataset]")) {
    variant.hidden = variant.dataset.dataset !== dataset.value || variant.dataset.kind !== kind.value;
    shown += !variant.hidden;
    for (const row of variant.querySelectorAll("tr[data-text]")) row.hidden = !row.dataset.text.includes(wanted);
  }
  byId("no-table").hidden = shown > 0;
}

function sortTable(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const at = [...head.parentNode.children].indexOf(head);
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const numeric = button.dataset.sort === "number";
  const key = (row) => row.children[at].dataset.value;
  for (const body of table.tBodies) {
    const rows = [...body.querySelectorAll("tr[data-text]")].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // unknown last, either way
      const order = numeric ? parseFloat(x) - parseFloat(y) : x.localeCompare(y, "en", { numeric: true });
      return descending ? -order : order;
    });
    body.append(...rows);
  }
}

// Frames: a sheet is decoded when first shown.
const images = new Map();
function sheet(key) {
  if (!images.has(key)) {
    const image = new Image();
    images.set(key, new Promise((done) => { image.onload = () => done(image); }));
    image.src = data.media[key].src;
  }
  return images.get(key);
}
function frameCanvas(key, label) {
  const [n, height, width] = data.media[key].shape;
  const canvas = element("canvas", { width, height, role: "img", "aria-label": label });
  canvas.frames = n;
  return canvas;
}
async function drawFrame(canvas, key, frame) {
  const [n, height, width, columns] = data.media[key].shape;
  canvas.wanted = Math.min(frame, n - 1);
  const image = await sheet(key);
  const at = canvas.wanted; // the latest wish, should several have waited for the same sheet
  canvas.getContext("2d").drawImage(image, (at % columns) * width, Math.floor(at / columns) * height, width, height, 0, 0, width, height);
}

// Players.
const choice = byId("choice").elements;
const transport = Object.fromEntries([...byId("transport").querySelectorAll("[name]")].map((node) => [node.name, node]));
const rowOf = new Map(data.rows.map((row) => [row.key, row]));
const metricOf = new Map(data.metrics.map((metric) => [metric.recipe, metric]));
let screens = [];
let timer = null;

const write = (value, metric) => value.toFixed(metric.decimals).replace("-", "−");
const metricLabel = (metric) => `${metric.name} (${metric.extractor})`;
function fill(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, label]) => element("option", { value }, label)));
  if (entries.some(([value]) => String(value) === before)) select.value = before;
  select.disabled = entries.length < 2;
}
const chosenClip = () => data.clips.find((clip) => clip.key === choice.clip.value);
const chosenEdit = (clip) => clip.edits.find((edit) => edit.id === choice.edit.value) || clip.edits[0];
function cellFor(clip, edit, row, seed) {
  const fits = data.cells.filter((cell) => cell.clip === clip.key && cell.row === row.key && (cell.edit === edit.id || cell.edit === ""));
  return fits.find((cell) => String(cell.seed) === seed) || fits.find((cell) => cell.seed === null);
}

function tracePath(values, low, high) {
  const x = (index) => (values.length > 1 ? (100 * index) / (values.length - 1) : 50);
  const y = (value) => (high > low ? 30 - (28 * (value - low)) / (high - low) : 16);
  let pen = "M";
  return values.map((value, index) => {
    if (value === null) { pen = "M"; return ""; }
    const step = `${pen}${x(index).toFixed(2)} ${y(value).toFixed(2)}`;
    pen = "L";
    return step;
  }).join("");
}

function player(title, detail, key, cell, metric, range, clip) {
  const caption = element("figcaption", {}, element("span", {}, title), detail ? element("span", { class: "dim" }, detail) : null);
  const figure = element("figure", { class: "player" }, caption);
  if (!key) {
    const [, height, width] = data.media[clip.source].shape;
    figure.append(element("div", { class: "broken", style: `aspect-ratio:${width}/${height}` }, cell ? cell.status : "not run"));
    return figure;
  }
  const screen = { canvas: frameCanvas(key, `${title} ${detail}`), key, cursor: null };
  figure.append(screen.canvas);
  screens.push(screen);
  const score = cell && metric ? cell.scores[metric.recipe] : null;
  if (score) {
    figure.append(element("p", { class: "value" }, element("span", { class: "dim" }, metric.name), element("span", {}, score[0] === null ? "∞" : write(score[0], metric))));
    if (score[1].length > 1) {
      screen.cursor = element("line", { class: "cursor", y1: 0, y2: 32 });
      const trace = element("svg", { class: "trace", viewBox: "0 0 100 32", preserveAspectRatio: "none", "aria-hidden": "true" },
        element("line", { class: "base", x1: 0, x2: 100, y1: 31.5, y2: 31.5 }),
        element("path", { class: "curve", d: tracePath(score[1], ...range) }), screen.cursor);
      trace.addEventListener("pointerdown", (event) => {
        const box = trace.getBoundingClientRect();
        show(Math.round(((event.clientX - box.left) / box.width) * (screen.canvas.frames - 1)));
      });
      figure.append(trace);
    }
  }
  return figure;
}

function build() {
  const clip = chosenClip();
  fill(choice.edit, clip.edits.map((edit) => [edit.id, edit.id ? (edit.id === edit.kind ? edit.id : `${edit.id} (${edit.kind})`) : "none"]));
  const edit = chosenEdit(clip);
  const metric = metricOf.get(choice.metric.value);
  chooseSound(edit);
  const pairs = data.rows.map((row) => [row, cellFor(clip, edit, row, choice.seed.value)]);
  const shown = pairs.filter(([row]) => !["source", "oracle"].includes(row.method));
  const values = pairs.flatMap(([, cell]) => (cell && metric && cell.scores[metric.recipe] ? cell.scores[metric.recipe][1] : [])).filter((value) => value !== null);
  const range = [Math.min(...values), Math.max(...values)];
  const reference = (name) => (pairs.find(([row]) => row.method === name) || [null, undefined])[1];
  const said = [["Source", clip.prompt], ["Instruction", edit.instruction], ["Target", edit.id && edit.prompt]].filter(([, text]) => text);
  byId("prompts").replaceChildren(...said.flatMap(([name, text], k) => [element("span", { class: "dim" }, `${k ? " · " : ""}${name}: `), text]));
  screens = [];
  const figures = [player("Source", "", clip.source, reference("source"), metric, range, clip)];
  if (edit.oracle) figures.push(player("Oracle", "the true answer", edit.oracle, reference("oracle"), metric, range, clip));
  for (const [row, cell] of shown) if (cell) figures.push(player(row.title, row.detail, cell.media, cell, metric, range, clip));
  byId("stage").replaceChildren(...figures);
  byId("trace-note").textContent = values.length ? `Traces: ${metricLabel(metric)} frame by frame, ${write(range[0], metric)} (bottom) to ${write(range[1], metric)} (top), the same scale in all.` : "";
  transport.frame.max = Math.max(...screens.map((screen) => screen.canvas.frames)) - 1;
  show(Math.min(Number(transport.frame.value), Number(transport.frame.max)));
}

// Where a sound plays, its clock says which frame is shown.
const sound = byId("sound");
function chooseSound(edit) {
  const source = edit.sound ? data.media[edit.sound].src : "";
  transport.loud.parentNode.hidden = !source;
  if ((sound.getAttribute("src") || "") === source) return;
  sound.pause();
  if (source) sound.src = source;
  else sound.removeAttribute("src");
}
const heard = () => sound.hasAttribute("src") && transport.loud.checked;
const following = () => timer !== null && heard() && !sound.paused;
function follow() {
  const frame = Math.floor(sound.currentTime * chosenClip().fps + 1e-3);
  show(Math.min(frame, Number(transport.frame.max)));
}

function show(frame) {
  transport.frame.value = frame;
  if (heard() && !following()) sound.currentTime = frame / chosenClip().fps;
  transport.at.textContent = `${frame + 1} / ${Number(transport.frame.max) + 1}`;
  for (const screen of screens) {
    drawFrame(screen.canvas, screen.key, frame);
    if (screen.cursor) {
      const x = screen.canvas.frames > 1 ? (100 * Math.min(frame, screen.canvas.frames - 1)) / (screen.canvas.frames - 1) : 50;
      screen.cursor.setAttribute("x1", x);
      screen.cursor.setAttribute("x2", x);
    }
  }
}
function step(by) {
  const count = Number(transport.frame.max) + 1;
  show((Number(transport.frame.value) + by + count) % count);
}
function play(on) {
  clearInterval(timer);
  const speed = Number(transport.speed.value);
  const pace = chosenClip().fps * speed;
  sound.pause();
  timer = on ? setInterval(() => (following() ? follow() : step(1)), 1000 / (heard() ? 2 * pace : pace)) : null;
  if (on && heard()) {
    sound.playbackRate = speed;
    sound.play().catch((error) => { if (timer && error.name !== "AbortError") { transport.loud.checked = false; play(true); } }); // go on in silence
  }
  transport.play.textContent = on ? "Pause" : "Play";
  transport.play.setAttribute("aria-label", on ? "Pause" : "Play");
}

// Best and worst.
const extreme = byId("extreme-choice").elements;
function openInPlayers(cell, metric) {
  choice.clip.value = cell.clip;
  build();
  if (cell.edit) choice.edit.value = cell.edit;
  if (cell.seed !== null) choice.seed.value = cell.seed;
  if (metric) choice.metric.value = metric.recipe;
  build();
  byId("players").scrollIntoView();
}
function caseCard(cell, metric) {
  const clip = data.clips.find((entry) => entry.key === cell.clip);
  const edit = clip.edits.find((entry) => entry.id === cell.edit) || clip.edits[0];
  const row = rowOf.get(cell.row);
  const picture = (key, label) => {
    if (!key) return null;
    const canvas = frameCanvas(key, label);
    drawFrame(canvas, key, Math.floor(data.media[key].shape[0] / 2));
    return element("div", {}, canvas, element("span", {}, label));
  };
  const open = element("button", { type: "button" }, "Show in the players");
  open.addEventListener("click", () => openInPlayers(cell, metric));
  const name = row.detail ? `${row.title} (${row.detail})` : row.title;
  return element("figure", { class: "case" },
    element("div", { class: "pair" }, picture(clip.source, "source"), picture(cell.media, row.title), picture(edit.oracle, "oracle")),
    element("p", {}, element("b", {}, write(cell.scores[metric.recipe][0], metric)), ` ${name}, seed ${cell.seed}`),
    element("p", { class: "dim" }, edit.instruction || edit.prompt), open);
}
function buildExtremes() {
  const metric = metricOf.get(extreme.metric.value);
  if (!metric) return;
  const seen = new Set();
  const cells = data.cells.filter((cell) => {
    const fits = cell.scores[metric.recipe] && cell.scores[metric.recipe][0] !== null && cell.media && !rowOf.get(cell.row).control && (!extreme.row.value || cell.row === extreme.row.value);
    const name = `${cell.cell}/${cell.edit}`;
    if (!fits || seen.has(name)) return false;
    return seen.add(name);
  });
  cells.sort((a, b) => (a.scores[metric.recipe][0] - b.scores[metric.recipe][0]) * (metric.higher ? -1 : 1));
  const count = Math.min(4, Math.floor(cells.length / 2));
  byId("best").replaceChildren(...cells.slice(0, count).map((cell) => caseCard(cell, metric)));
  byId("worst").replaceChildren(...cells.slice(cells.length - count).reverse().map((cell) => caseCard(cell, metric)));
}

byId("filters").addEventListener("input", filterTables);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (button) sortTable(button);
});
fill(choice.clip, data.clips.map((clip) => [clip.key, clip.key]));
fill(choice.seed, data.seeds.map((seed) => [seed, seed]));
fill(choice.metric, data.metrics.map((metric) => [metric.recipe, metricLabel(metric)]));
byId("choice").addEventListener("input", () => { build(); if (timer) play(true); });
transport.play.addEventListener("click", () => play(!timer));
transport.back.addEventListener("click", () => { play(false); step(-1); });
transport.next.addEventListener("click", () => { play(false); step(1); });
transport.frame.addEventListener("input", () => { play(false); show(Number(transport.frame.value)); });
for (const control of [transport.speed, transport.loud]) control.addEventListener("input", () => { if (timer) play(true); });
fill(extreme.metric, data.metrics.filter((metric) => metric.higher !== null).map((metric) => [metric.recipe, metricLabel(metric)]));
fill(extreme.row, [["", "all methods"], ...data.rows.filter((row) => !row.control).map((row) => [row.key, row.detail ? `${row.title} (${row.detail})` : row.title])]);
byId("extreme-choice").addEventListener("input", buildExtremes);
build();
buildExtremes();
