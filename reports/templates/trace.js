// The cells behind a number: averaged over seeds, then edits, then clips, as the tables do.
const trace = byId("trace");
const known = (values) => values.filter((value) => value !== null && value !== undefined);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const grouped = (list, name) => Object.values(list.reduce((all, one) => { (all[name(one)] ||= []).push(one); return all; }, {}));
function overClips(cells, value) {
  const counted = cells.filter((cell) => known([value(cell)]).length);
  if (!counted.length) return null;
  return mean(grouped(counted, (cell) => cell.clip).map((clip) => mean(grouped(clip, (cell) => cell.edit).map((edit) => mean(edit.map(value))))));
}
function showTrace(entry, recipe) {
  const { row, dataset, kinds } = entry.dataset;
  const wanted = kinds ? kinds.split(" ") : null;
  const kindOf = (cell) => data.clips.find((clip) => clip.key === cell.clip).edits.find((edit) => edit.id === cell.edit)?.kind ?? "";
  const cells = data.cells.filter((cell) => cell.row === row && cell.clip.startsWith(`${dataset}/`) && (!wanted || ["", ...wanted].includes(kindOf(cell))));
  const select = trace.querySelector("select");
  const costs = [...new Set(cells.flatMap((cell) => Object.keys(cell.costs)))];
  fill(select, [...data.metrics.map((metric) => [metric.recipe, metricLabel(metric)]), ...costs.map((name) => [name, name])]);
  if (recipe) select.value = recipe;
  const metric = metricOf.get(select.value);
  const value = (cell) => (metric ? cell.scores[select.value]?.[0] : cell.costs[select.value]);
  const written = (number) => (metric ? write(number, metric) : String(number));
  const about = rowOf.get(row);
  byId("trace-title").textContent = about.detail ? `${about.title} (${about.detail})` : about.title;
  const all = metric ? overClips(cells, value) : null;
  byId("trace-mean").textContent = `${dataset}${wanted ? `, edits of ${wanted.join(", ")}` : ""}: ${cells.length} requests${all === null ? "" : `; mean over clips ${written(all)}`}`;
  trace.querySelector("tbody").replaceChildren(...cells.map((cell) => {
    const number = value(cell);
    const open = element("button", { type: "button", class: "link" }, "play");
    open.addEventListener("click", () => { trace.close(); openInPlayers(cell, metric); });
    return element("tr", {}, element("td", {}, cell.clip), element("td", {}, cell.edit || "–"), element("td", { class: "number" }, cell.seed ?? "–"),
      element("td", { class: "number" }, cell.status !== "ok" ? cell.status : number === null || number === undefined ? "–" : written(number)),
      element("td", { class: "mono" }, cell.cell), element("td", {}, cell.media ? open : ""));
  }));
  select.oninput = () => showTrace(entry, select.value);
  if (!trace.open) trace.showModal();
}
for (const line of document.querySelectorAll("table.results tr[data-text]")) {
  const first = line.querySelector("td[data-row]");
  const name = line.querySelector(".name");
  if (!first || !name) continue;
  const button = element("button", { type: "button", class: "link", "aria-haspopup": "dialog", title: "The cells behind this row" }, name.textContent);
  button.addEventListener("click", () => showTrace(first));
  name.replaceChildren(button);
  line.addEventListener("click", (event) => {
    const entry = event.target.closest("td[data-row]");
    if (entry) showTrace(entry, entry.dataset.recipe);
  });
}
