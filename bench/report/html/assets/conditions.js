// Conditions of the gallery: which rows are shown by the scores of their images.

const COMPARISONS = { ">=": (value, bound) => value >= bound, "<": (value, bound) => value < bound };
const EVERY = "every";
const ANY = "any";

/** Conditions of the same list hold together. An image without a score meets none. */
function meets(row, { method, metric, comparison, bound }) {
  const passes = (cell) => {
    const value = cell?.scores[metric];
    return value !== undefined && COMPARISONS[comparison](value, bound);
  };
  const cells = compared(row);
  if (method === EVERY) return cells.length > 0 && cells.every(passes);
  if (method === ANY) return cells.some(passes);
  return passes(row.cells[Number(method)]);
}

/** How many images a condition is about are on each side of its bound. */
function sides({ method, metric, bound }) {
  const cells = gallery.rows.flatMap((row) => ([EVERY, ANY].includes(method) ? compared(row) : [row.cells[Number(method)]]));
  const values = cells.filter((cell) => cell !== null).map((cell) => cell.scores[metric]);
  const scored = values.filter((value) => value !== undefined);
  const above = scored.filter((value) => value >= bound).length;
  const missing = values.length - scored.length;
  return `${above} images at or above, ${scored.length - above} below${missing ? `, ${missing} without a score` : ""}`;
}

/** The median of a metric over all images that are compared. */
function median(metric) {
  const values = gallery.rows.flatMap(compared).map((cell) => cell.scores[metric]).filter((value) => value !== undefined);
  values.sort((a, b) => a - b);
  return values.length ? Number(number(values[Math.floor(values.length / 2)])) : 0;
}

function addCondition() {
  const { metric } = chosen;
  chosen.conditions.push({ method: EVERY, metric, comparison: "<", bound: median(metric) });
  drawConditions();
  drawGallery();
}

function drawConditions() {
  document.getElementById("conditions").replaceChildren(...chosen.conditions.map(conditionLine));
}

function conditionLine(condition, i) {
  const counts = element("span", { class: "hint" }, sides(condition));
  const change = (name, convert) => (value) => {
    condition[name] = convert(value);
    if (name === "metric") bound.value = condition.bound = median(condition.metric);
    counts.textContent = sides(condition);
    drawGallery();
  };
  const who = [[EVERY, "every method"], [ANY, "any method"], ...methods.map((one, k) => [String(k), one.label])];
  const metrics = gallery.metrics.map((one, k) => [String(k), one.title]);
  const setBound = change("bound", Number);
  const bound = element("input", { type: "number", step: "any", value: condition.bound, "aria-label": "bound",
    oninput: () => { if (bound.value !== "") setBound(bound.value); } });
  const remove = () => {
    chosen.conditions.splice(i, 1);
    drawConditions();
    drawGallery();
    document.getElementById("add-condition").focus();
  };
  return element("div", { class: "condition", role: "group", "aria-label": `condition ${i + 1}` },
    choices("images of", who, change("method", String), condition.method),
    choices("score by", metrics, change("metric", Number), String(condition.metric)),
    choices("side", [[">=", "at or above"], ["<", "below"]], change("comparison", String), condition.comparison),
    bound, counts, button("remove", remove));
}
