"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const store = `crossframe-study-${data.study}`;
const kept = () => { try { return JSON.parse(localStorage.getItem(store)); } catch { return null; } };
let state = kept() || { rater: "", answers: {} };
let at = 0;
let frame = 0;
let paused = false;
const keep = () => { try { localStorage.setItem(store, JSON.stringify(state)); } catch { /* private window: kept until it closes */ } };

const images = new Map();
function sheet(key) {
  if (!images.has(key)) {
    const image = new Image();
    images.set(key, image.decode ? (image.src = data.media[key].src, image.decode().then(() => image)) : Promise.resolve(image));
  }
  return images.get(key);
}
async function draw(id, key) {
  const [n, height, width, columns] = data.media[key].shape;
  const canvas = byId(id);
  const image = await sheet(key);
  if (data.pairs[at][id] !== key) return; // gone on to another pair meanwhile
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const k = frame % n;
  canvas.getContext("2d").drawImage(image, (k % columns) * width, Math.floor(k / columns) * height, width, height, 0, 0, width, height);
}
function drawAll() { for (const id of ["source", "left", "right"]) draw(id, data.pairs[at][id]); }

function node(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}
const complete = (pair) => Object.keys(data.questions).every((name) => state.answers[pair.id]?.[name]);
function show(index) {
  at = Math.max(0, Math.min(index, data.pairs.length - 1));
  const pair = data.pairs[at];
  byId("progress").textContent = `Pair ${at + 1} of ${data.pairs.length}, ${data.pairs.filter(complete).length} answered`;
  byId("prompt").textContent = pair.prompt;
  byId("previous").disabled = at === 0;
  byId("questions").replaceChildren(...Object.entries(data.questions).map(([name, text]) => node("fieldset", {}, node("legend", {}, text),
    ...[["left", "Left"], ["tie", "Equal"], ["right", "Right"]].map(([value, label]) => node("label", {},
      node("input", { type: "radio", name, value, checked: state.answers[pair.id]?.[name] === value }), ` ${label}`)))));
  drawAll();
}
function screen(name) { for (const id of ["begin", "rating", "end"]) byId(id).hidden = id !== name; }
function save() {
  const content = JSON.stringify({ study: data.study, rater: state.rater, answers: state.answers }, null, 1);
  const link = node("a", { href: URL.createObjectURL(new Blob([content], { type: "application/json" })), download: `study-${data.study}-${state.rater.replace(/[^\w-]+/g, "_")}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

byId("start").elements.rater.value = state.rater;
byId("start").addEventListener("submit", (event) => {
  event.preventDefault();
  state.rater = event.target.elements.rater.value.trim();
  keep();
  screen("rating");
  const open = data.pairs.findIndex((pair) => !complete(pair));
  show(open < 0 ? 0 : open);
});
byId("questions").addEventListener("submit", (event) => event.preventDefault());
byId("questions").addEventListener("change", (event) => {
  (state.answers[data.pairs[at].id] ||= {})[event.target.name] = event.target.value;
  keep();
});
byId("previous").addEventListener("click", () => show(at - 1));
byId("next").addEventListener("click", () => (at + 1 < data.pairs.length ? show(at + 1) : screen("end")));
byId("pause").addEventListener("click", () => { paused = !paused; byId("pause").setAttribute("aria-pressed", paused); });
byId("save").addEventListener("click", save);
byId("save-end").addEventListener("click", save);
byId("again").addEventListener("click", () => { screen("rating"); show(0); });
let last = 0;
requestAnimationFrame(function tick(now) {
  const wait = 1000 / data.pairs[at].fps;
  if (!paused && !byId("rating").hidden && now - last >= wait) { last = now; frame += 1; drawAll(); }
  requestAnimationFrame(tick);
});
