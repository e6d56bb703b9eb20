// The gallery: one row per person, prompt and seed; filters, orders, and rows that are drawn when they are near.

const { gallery } = data;
const ROWS_AT_ONCE = 24;
const AHEAD = 1200;
const chosen = {
  person: "", category: "", group: "", only: "", sort: "run", metric: firstIdentity(), conditions: [],
  methods: new Set(methods.map((_, i) => i)),
};
let rows = [];
let drawn = 0;

function startGallery() {
  const place = document.getElementById("images");
  if (gallery.remark) place.append(element("p", { class: "hint" }, gallery.remark));
  if (!gallery.rows.length) return;
  place.append(
    filters(),
    element("div", { id: "conditions" }),
    element("p", { class: "hint", id: "count", "aria-live": "polite" }),
    element("div", { id: "rows" }),
    element("div", { id: "end" }),
  );
  new IntersectionObserver((seen) => {
    if (seen.some((entry) => entry.isIntersecting)) drawMore();
  }, { rootMargin: `${AHEAD}px` }).observe(document.getElementById("end"));
  drawGallery();
}

function filters() {
  const unique = (values) => [...new Set(values)].map((value) => [value, value]);
  const choose = (text, name, options) => selection(`${text} `, options, (value) => {
    chosen[name] = value;
    drawGallery();
  }, chosen[name]);
  const metrics = gallery.metrics.map((one, i) => [String(i), one.title]);
  const sorts = [["run", "order of the run"]];
  if (metrics.length) sorts.push(["worst", "worst first"], ["best", "best first"], ["methods", hasTwins() ? "difference of the runs" : "disagreement of the methods"]);
  if (gallery.faces) sorts.push(["faces", "disagreement of the face networks"]);
  const failures = [["", "all"], ["failed", "with a failed image"], ["missing", "with a missing score"]];
  if (hasTwins()) failures.push(["changed", "with another fingerprint in the second run"]);
  return element("div", { class: "controls" },
    choose("person", "person", [["", "all"], ...unique(gallery.rows.map((row) => row.person))]),
    gallery.groups.length ? choose("group", "group", [["", "all"], ...gallery.groups.map((one, i) => [String(i), one.name])]) : null,
    choose("prompts", "category", [["", "all"], ...unique(gallery.rows.map((row) => row.category))]),
    choose("rows", "only", failures),
    metrics.length ? selection("metric ", metrics, (value) => { chosen.metric = Number(value); drawGallery(); }, String(chosen.metric)) : null,
    choose("sort by", "sort", sorts),
    metrics.length ? button("add a threshold", addCondition, { id: "add-condition" }) : null,
    element("details", {}, element("summary", {}, "methods"), methodBoxes()));
}

function methodBoxes() {
  const boxes = element("div", { class: "choices", id: "methods" });
  methods.forEach((method, i) => {
    const box = checkbox("", true, (on) => {
      if (on) chosen.methods.add(i); else chosen.methods.delete(i);
      drawGallery();
    });
    box.append(swatch(method), method.label);
    boxes.append(box);
  });
  boxes.append(button("all methods", () => { showMethod(null); drawGallery(); }));
  return boxes;
}

/** The chosen images of a row that are no baselines; all chosen ones where there is nothing else. */
function compared(row) {
  const all = row.cells.filter((cell, i) => cell !== null && chosen.methods.has(i));
  const own = row.cells.filter((cell, i) => cell !== null && chosen.methods.has(i) && !methods[i].baseline);
  return own.length ? own : all;
}

/** The number by which a row is sorted, larger first; null where it has none. */
function sortKey(row) {
  const cells = compared(row);
  if (chosen.sort === "faces") {
    const values = cells.map((cell) => cell.disagreement).filter((value) => value !== null);
    return values.length ? Math.max(...values) : null;
  }
  const values = cells.map((cell) => cell.scores[chosen.metric]).filter((value) => value !== undefined);
  if (chosen.sort === "methods" && hasTwins()) return largestChange(row);
  if (chosen.sort === "methods") return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
  // A missing score counts as the worst.
  if (chosen.sort === "worst" && cells.some((cell) => cell.reasons[chosen.metric] !== undefined)) return Infinity;
  const higherFirst = (gallery.metrics[chosen.metric].better === "lower") === (chosen.sort === "worst");
  return values.length ? Math.max(...values.map((value) => (higherFirst ? value : -value))) : null;
}

/** Whether the page compares two runs: every method is there twice. */
function hasTwins() {
  return methods.some((method) => method.twin !== undefined);
}

/** The chosen images of a row with those of the same method in the other run. */
function twins(row) {
  return row.cells.map((cell, i) => [cell, row.cells[methods[i].twin]]).filter(([cell, other], i) => cell && other && chosen.methods.has(i));
}

function largestChange(row) {
  const changes = twins(row).map((pair) => pair.map((cell) => cell.scores[chosen.metric]))
    .filter((scores) => !scores.includes(undefined)).map(([one, other]) => Math.abs(one - other));
  return changes.length ? Math.max(...changes) : null;
}

function firstIdentity() {
  return Math.max(0, gallery.metrics.findIndex((metric) => metric.title.startsWith("identity")));
}

function isShown(row) {
  const cells = () => row.cells.filter((cell, i) => cell !== null && chosen.methods.has(i));
  return (chosen.person === "" || row.person === chosen.person)
    && (chosen.category === "" || row.category === chosen.category)
    && (chosen.group === "" || gallery.groups[chosen.group].people.includes(row.person))
    && (chosen.only !== "failed" || cells().some((cell) => cell.problem))
    && (chosen.only !== "missing" || cells().some((cell) => Object.keys(cell.reasons).length))
    && (chosen.only !== "changed" || twins(row).some(([one, other]) => one.fingerprint !== other.fingerprint))
    && chosen.conditions.every((condition) => meets(row, condition));
}

function drawGallery() {
  rows = gallery.rows.filter(isShown);
  if (chosen.sort !== "run") {
    const keyed = rows.map((row, i) => [sortKey(row), i, row]);
    const larger = (a, b) => (a === b ? 0 : b > a ? 1 : -1);
    keyed.sort((a, b) => (a[0] === null) - (b[0] === null) || larger(a[0], b[0]) || a[1] - b[1]);
    rows = keyed.map((entry) => entry[2]);
  }
  drawn = 0;
  document.getElementById("rows").replaceChildren();
  const metric = gallery.metrics[chosen.metric];
  document.getElementById("count").textContent = `${rows.length} of ${gallery.rows.length} rows, one seed per row; `
    + (metric ? `below each image: ${metric.title}. ` : "") + "Arrow keys move between images, Enter opens one.";
  drawMore();
}

function drawMore() {
  if (drawn >= rows.length) return;
  const next = rows.slice(drawn, drawn + ROWS_AT_ONCE).map((row, i) => galleryRow(row, drawn + i));
  drawn += next.length;
  document.getElementById("rows").append(...next);
  const end = document.getElementById("end");
  // Where the end is still in sight, the observer reports no change.
  if (end.getBoundingClientRect().top < innerHeight + AHEAD) requestAnimationFrame(drawMore);
}

function galleryRow(row, place) {
  const title = element("h3", {}, element("b", {}, row.person), row.text,
    element("span", { class: "hint" }, ` · ${row.prompt}, image ${row.sample}${commonSeed(row)}`));
  const images = element("div", { class: "images" });
  const photos = gallery.people[row.person];
  for (const [kind, name] of [["references", "reference"], ["held_out", "held-out photograph"]]) {
    if (photos[kind].length) images.append(photoButton(row, place, kind, name, photos[kind]));
  }
  row.cells.forEach((cell, i) => {
    if (cell !== null && chosen.methods.has(i)) images.append(imageButton(row, place, cell, i));
  });
  // The Tab key moves from row to row, the arrow keys from image to image.
  [...images.children].slice(1).forEach((one) => one.setAttribute("tabindex", "-1"));
  return element("article", { class: "row" }, title, images);
}

/** The seed of a row's images, where they have the same. */
function commonSeed(row) {
  const seeds = new Set(row.cells.filter((cell) => cell !== null).map((cell) => cell.seed));
  return seeds.size === 1 ? `, seed ${[...seeds][0]}` : "";
}

function thumbnail(name, alt) {
  return element("img", { src: address(name), alt, loading: "lazy", decoding: "async", width: 256, height: 256 });
}

function photoButton(row, place, kind, name, photos) {
  const first = compared(row)[0];
  const open = () => openViewer(place, first ? row.cells.indexOf(first) : 0, `${kind}:0`);
  return element("button", { type: "button", class: "image photo", onclick: open },
    thumbnail(photos[0], `${name} of ${row.person}`),
    element("span", {}, photos.length > 1 ? `${name} 1 of ${photos.length}` : name));
}

function imageButton(row, place, cell, i) {
  const score = cell.scores[chosen.metric];
  const mark = gallery.metrics[chosen.metric]?.overlap[i]?.[0];
  const text = `${row.person}, ${row.prompt}, ${methods[i].label}`;
  const made = element("button", { type: "button", class: "image", onclick: () => openViewer(place, i) },
    cell.image ? thumbnail(cell.image, text) : element("span", { class: "none" }, cell.problem),
    element("span", {}, swatch(methods[i]), methods[i].label),
    element("span", { class: "score" }, score === undefined ? (cell.reasons[chosen.metric] ?? "")
      : `${number(score)}${mark ? ` ${mark}` : ""}`));
  made.style.setProperty("--method", methods[i].color);
  return made;
}
