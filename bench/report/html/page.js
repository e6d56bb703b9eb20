// The page of `bench report --format html`: the comparison table, the gallery and the viewer of images.
// All content comes from the JSON in #data and is written with textContent, so names and captions stay text.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const { methods, table, gallery } = data;
const ROWS_AT_ONCE = 24;

/** A new element with attributes and children; strings become text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function swatch(method) {
  const made = element("span", { class: `swatch ${method.shape}`, "aria-hidden": "true" });
  made.style.background = method.color;
  return made;
}

function checkbox(text, checked, change) {
  const box = element("input", { type: "checkbox", checked, onchange: () => change(box.checked) });
  return element("label", {}, box, text);
}

function selection(text, options, change) {
  const made = element("select", { "aria-label": text.trim(), onchange: () => change(made.value) });
  for (const [value, label] of options) made.append(element("option", { value }, label));
  return element("label", {}, text, made);
}

function number(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 10 ? 1 : 3);
}

// ---------------------------------------------------------------------------------------------- table

const MODES = { value: "values", share: "share of the way", difference: `minus ${table.floor}` };
const shown = { mode: "value", sort: null, reversed: false, hidden: new Set() };

function startTable() {
  const place = document.getElementById("table");
  const modes = element("fieldset", {}, element("legend", {}, "numbers"));
  for (const [mode, text] of Object.entries(MODES)) {
    const change = () => { shown.mode = mode; drawTable(); };
    const radio = element("input", { type: "radio", name: "mode", checked: mode === "value", onchange: change });
    modes.append(element("label", {}, radio, text));
  }
  const choices = element("div", { class: "choices" });
  table.columns.forEach((column, i) => {
    choices.append(checkbox(column.title, true, (on) => {
      if (on) shown.hidden.delete(i); else shown.hidden.add(i);
      drawTable();
    }));
  });
  place.append(
    element("div", { class: "controls" }, modes, element("details", {}, element("summary", {}, "columns"), choices)),
    element("p", { class: "hint" }, "A heading sorts, best first. Shaded: the best ranked method; ≈: not separable "
      + "from it (paired by person and prompt, Holm's correction). Dotted numbers have a note."),
    element("div", { class: "scroll", id: "scores", tabindex: "0", role: "region", "aria-label": "scores" }),
  );
  drawTable();
}

/** Row numbers in the order of the chosen column; rows without a number come last. */
function sortedRows() {
  const order = table.rows.map((_, i) => i);
  if (shown.sort === null) return order;
  const column = table.columns[shown.sort];
  const value = (row) => column.cells[row][shown.mode].value;
  const sign = (column.better === "lower" ? 1 : -1) * (shown.reversed ? -1 : 1);
  return order.sort((a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || a - b);
}

function chooseSort(i) {
  if (shown.sort !== i) Object.assign(shown, { sort: i, reversed: false });
  else if (!shown.reversed) shown.reversed = true;
  else shown.sort = null;
  drawTable();
  document.querySelector(`#scores [data-column="${i}"]`).focus();
}

function drawTable() {
  const columns = table.columns.map((column, i) => [column, i]).filter(([, i]) => !shown.hidden.has(i));
  const header = element("tr", {}, element("th", { scope: "col" }, "method"));
  for (const [column, i] of columns) {
    const descends = (column.better === "lower") === shown.reversed;
    const sorted = shown.sort === i ? (descends ? "descending" : "ascending") : "none";
    const button = element("button", { type: "button", "data-column": i, onclick: () => chooseSort(i) }, column.heading);
    const of = column.of ? element("div", { class: "hint" }, column.of) : null;
    header.append(element("th", { scope: "col", "aria-sort": sorted }, button, of));
  }
  const body = element("tbody", {}, ...sortedRows().map((row) => tableRow(row, columns)));
  document.getElementById("scores").replaceChildren(element("table", {}, element("thead", {}, header), body));
}

function tableRow(row, columns) {
  const { label, real } = table.rows[row];
  const method = methods.find((one) => one.label === label);
  const line = element("tr", { class: real ? "real" : null });
  line.append(element("th", { scope: "row" }, method ? swatch(method) : null, label));
  for (const [column] of columns) line.append(tableCell(column.cells[row]));
  return line;
}

function tableCell(cell) {
  const { text } = cell[shown.mode];
  const best = cell.standing === "best" && shown.mode === "value";
  const near = cell.standing === "not separable from the best" && shown.mode === "value";
  const made = element("td", { class: best ? "best" : null, title: cell.note || null });
  const [, mean, interval, rest] = text.match(/^([^[]*)(\[[^\]]*\])?(.*)$/);
  made.append(mean, interval ? element("span", { class: "interval" }, interval) : "", rest, near ? " ≈" : "");
  return made;
}

// -------------------------------------------------------------------------------------------- gallery

const chosen = { person: "", category: "", methods: new Set(methods.map((_, i) => i)), sort: "", worst: true };
let rows = [];
let drawn = 0;

function startGallery() {
  const place = document.getElementById("images");
  if (gallery.remark) place.append(element("p", { class: "hint" }, gallery.remark));
  if (!gallery.rows.length) return;
  const unique = (values) => [...new Set(values)].map((value) => [value, value]);
  const change = (name) => (value) => { chosen[name] = value; drawGallery(); };
  const sorts = [["", "the order of the run"], ...gallery.metrics.map((metric, i) => [String(i), metric.title])];
  if (gallery.faces) sorts.push(["faces", "disagreement of the face networks"]);
  sorts.push(["methods", "disagreement of the methods"]);
  const boxes = element("div", { class: "choices", id: "methods" });
  methods.forEach((method, i) => {
    const box = checkbox("", true, (on) => {
      if (on) chosen.methods.add(i); else chosen.methods.delete(i);
      drawGallery();
    });
    box.append(swatch(method), method.label);
    boxes.append(box);
  });
  place.append(
    element("div", { class: "controls" },
      selection("person", [["", "all"], ...unique(gallery.rows.map((row) => row.person))], change("person")),
      selection("prompts", [["", "all"], ...unique(gallery.rows.map((row) => row.category))], change("category")),
      selection("sort by", sorts, change("sort")),
      selection("order", [["worst", "worst first"], ["best", "best first"]], (value) => {
        chosen.worst = value === "worst";
        drawGallery();
      }),
      element("details", {}, element("summary", {}, "methods"), boxes)),
    element("p", { class: "hint", id: "count", "aria-live": "polite" }),
    element("div", { id: "rows" }),
    element("div", { id: "end" }),
  );
  new IntersectionObserver((seen) => {
    if (seen.some((entry) => entry.isIntersecting)) drawMore();
  }, { rootMargin: "1200px" }).observe(document.getElementById("end"));
  drawGallery();
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
  const i = chosen.sort === "methods" ? firstIdentity() : Number(chosen.sort);
  const values = cells.map((cell) => cell.scores[i]).filter((value) => value !== undefined);
  if (chosen.sort === "methods") return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
  const badness = gallery.metrics[i].better === "lower" ? 1 : -1;
  // A missing score counts as the worst.
  const missing = cells.some((cell) => cell.reasons[i] !== undefined);
  if (chosen.worst && missing) return Infinity;
  return values.length ? Math.max(...values.map((value) => badness * value * (chosen.worst ? 1 : -1))) : null;
}

function firstIdentity() {
  return Math.max(0, gallery.metrics.findIndex((metric) => metric.title.startsWith("identity")));
}

/** The metric whose score is written below the images. */
function shownMetric() {
  return /^\d+$/.test(chosen.sort) ? Number(chosen.sort) : firstIdentity();
}

function drawGallery() {
  rows = gallery.rows.filter((row) => (chosen.person === "" || row.person === chosen.person)
    && (chosen.category === "" || row.category === chosen.category));
  if (chosen.sort !== "") {
    const keyed = rows.map((row, i) => [sortKey(row), i, row]);
    const direction = chosen.worst || !["faces", "methods"].includes(chosen.sort) ? 1 : -1;
    const order = (a, b) => (a === b ? 0 : direction * (b > a ? 1 : -1));
    keyed.sort((a, b) => (a[0] === null) - (b[0] === null) || order(a[0], b[0]) || a[1] - b[1]);
    rows = keyed.map((entry) => entry[2]);
  }
  drawn = 0;
  document.getElementById("rows").replaceChildren();
  const metric = gallery.metrics[shownMetric()];
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
  if (end.getBoundingClientRect().top < innerHeight + 1200) requestAnimationFrame(drawMore);
}

function address(name) {
  return name.startsWith("data:") ? name : `${data.folder}/${name}`;
}

function galleryRow(row, place) {
  const title = element("h3", {}, element("b", {}, row.person), row.text,
    element("span", { class: "hint" }, ` · ${row.prompt}, image ${row.sample}`));
  const images = element("div", { class: "images" });
  const photos = gallery.people[row.person];
  for (const [kind, name] of [["references", "reference"], ["held_out", "held-out photograph"]]) {
    if (photos[kind].length) images.append(photoButton(row, place, kind, name, photos[kind]));
  }
  row.cells.forEach((cell, i) => {
    if (cell !== null && chosen.methods.has(i)) images.append(imageButton(row, place, cell, i));
  });
  return element("section", { class: "row", "aria-label": `${row.person}, ${row.prompt}` }, title, images);
}

function thumbnail(name, text) {
  return element("img", { src: address(name), alt: text, loading: "lazy", decoding: "async", width: 256, height: 256 });
}

function photoButton(row, place, kind, name, photos) {
  const first = compared(row)[0];
  const open = () => openViewer(place, first ? row.cells.indexOf(first) : 0, `${kind}:0`);
  return element("button", { type: "button", class: "image photo", onclick: open },
    thumbnail(photos[0], `${name} of ${row.person}`),
    element("span", {}, photos.length > 1 ? `${name} 1 of ${photos.length}` : name));
}

function imageButton(row, place, cell, i) {
  const metric = shownMetric();
  const { title } = gallery.metrics[metric] ?? { title: "" };
  const score = cell.scores[metric];
  const text = `${row.person}, ${row.prompt}, ${methods[i].label}`;
  return element("button", { type: "button", class: "image", title: title ? `${title} ${number(score)}` : null,
    onclick: () => openViewer(place, i) },
    cell.image ? thumbnail(cell.image, text) : element("span", { class: "none" }, cell.problem),
    element("span", {}, swatch(methods[i]), methods[i].label),
    element("span", { class: "score" }, score === undefined ? (cell.reasons[metric] ?? "") : number(score)));
}

/** Arrow keys move the focus between the images of the gallery. */
function moveFocus(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !event.target.matches(".image")) return;
  const all = [...document.querySelectorAll(".image")];
  const next = all[all.indexOf(event.target) + step];
  if (next) { next.focus(); event.preventDefault(); }
}

// --------------------------------------------------------------------------------------------- viewer

const viewer = document.getElementById("viewer");
const viewed = { row: null, method: 0, against: "" };

function openViewer(place, method, against = viewed.against) {
  viewed.row = rows[place];
  Object.assign(viewed, { method, against });
  drawViewer();
  if (!viewer.open) viewer.showModal();
}

/** The pictures that the image can be laid over, by key: the floor's of the same seed, photographs. */
function opposites(row, method) {
  const found = [["", "nothing", null]];
  const floor = methods.findIndex((one) => one.label === data.floor);
  const cell = floor >= 0 ? row.cells[floor] : null;
  if (cell?.image && floor !== method) found.push(["floor", `${data.floor}, same seed`, picture(cell)]);
  for (const [kind, name] of [["references", "reference"], ["held_out", "held-out photograph"]]) {
    gallery.people[row.person][kind].forEach((photo, i) => {
      found.push([`${kind}:${i}`, `${name} ${i + 1}`, element("img", { src: address(photo), alt: "" })]);
    });
  }
  return found;
}

/** The stored image, or its thumbnail where the page is apart from the run folder. */
function picture(cell) {
  const made = element("img", { src: cell.full || address(cell.image), alt: "" });
  made.addEventListener("error", () => { made.src = address(cell.image); }, { once: true });
  made.addEventListener("load", () => made.classList.toggle("pixelated", made.naturalWidth < 200));
  return made;
}

function drawViewer() {
  const { row, method } = viewed;
  const cell = row.cells[method];
  const found = opposites(row, method);
  const [key, name, overlay] = found.find(([one]) => one === viewed.against) ?? found[0];
  const own = cell.image ? picture(cell) : element("p", { class: "none" }, cell.problem);
  const stage = element("div", { class: "stage" }, own, overlay);
  const compare = selection("compare with ", found, (value) => { viewed.against = value; drawViewer(); });
  compare.querySelector("select").value = key;
  const parts = [stage];
  if (overlay) {
    const range = element("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": `share of ${name}` });
    const clip = () => { overlay.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`; };
    range.addEventListener("input", clip);
    clip();
    overlay.style.background = "var(--panel)";
    parts.push(range, element("div", { class: "ends" }, element("span", {}, name), element("span", {}, methods[method].label)));
  }
  const link = `#cell=${[row.person, row.prompt, row.sample, methods[method].label].map(encodeURIComponent).join("/")}`;
  history.replaceState(null, "", link);
  viewer.replaceChildren(
    element("div", { class: "buttons" },
      element("span", { class: "hint" }, "←→ methods, ↑↓ rows, Esc closes"),
      element("a", { href: link }, "link to this image"),
      element("button", { type: "button", class: "button", onclick: () => viewer.close() }, "close")),
    element("div", { class: "viewer" }, element("div", {}, ...parts, compare), card(row, cell, method)));
}

function card(row, cell, method) {
  const lines = gallery.metrics.map((metric, i) => [metric.title,
    cell.scores[i] === undefined ? cell.reasons[i] : number(cell.scores[i])]);
  if (cell.disagreement !== null) lines.push(["disagreement of the face networks (ranks)", number(cell.disagreement)]);
  lines.push(["seed", String(cell.seed)], ["fit", String(cell.fit)], ["fingerprint", cell.fingerprint || "-"]);
  lines.push(["seconds", number(cell.seconds)]);
  if (cell.problem) lines.unshift(["problem", cell.problem]);
  const body = lines.filter(([, value]) => value !== undefined).map(([name, value]) => element("tr", {},
    element("th", { scope: "row" }, name), element("td", {}, value)));
  return element("div", {},
    element("h3", {}, swatch(methods[method]), methods[method].label),
    element("p", {}, `${row.person}: ${row.text}`),
    element("p", { class: "hint" }, `${row.prompt} (${row.category}), image ${row.sample}`),
    element("table", {}, element("tbody", {}, ...body)));
}

function moveViewer(event) {
  if (event.target.matches("input, select")) return;
  const place = rows.indexOf(viewed.row);
  const across = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (across) {
    const present = viewed.row.cells.map((_, i) => i).filter((i) => viewed.row.cells[i] && chosen.methods.has(i));
    const next = present[present.indexOf(viewed.method) + across];
    if (next !== undefined) openViewer(place, next);
  } else if (down && rows[place + down]?.cells[viewed.method]) {
    openViewer(place + down, viewed.method);
  } else return;
  event.preventDefault();
}

// ---------------------------------------------------------------------------------------------- links

/** Opens `#cell=person/prompt/sample/method`, or shows only the method of `#method=label`. */
function followLink() {
  const [kind, rest = ""] = location.hash.slice(1).split("=");
  let words;
  try { words = rest.split("/").map(decodeURIComponent); } catch { return; }
  if (kind === "cell") {
    const [person, prompt, sample, label] = words;
    const method = methods.findIndex((one) => one.label === label);
    const place = rows.findIndex((row) => row.person === person && row.prompt === prompt && String(row.sample) === sample);
    if (rows[place]?.cells[method]) openViewer(place, method);
  } else if (kind === "method" && methods.some((one) => one.label === words[0])) {
    document.querySelectorAll("#methods input").forEach((box, i) => {
      box.checked = methods[i].label === words[0] || methods[i].label === data.floor;
      if (box.checked) chosen.methods.add(i); else chosen.methods.delete(i);
    });
    drawGallery();
    document.getElementById("gallery").scrollIntoView();
  }
}

startTable();
startGallery();
followLink();
addEventListener("hashchange", followLink);
document.getElementById("images").addEventListener("keydown", moveFocus);
viewer.addEventListener("keydown", moveViewer);
viewer.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
addEventListener("beforeprint", () => document.querySelectorAll("main > section > details").forEach((one) => { one.open = true; }));
