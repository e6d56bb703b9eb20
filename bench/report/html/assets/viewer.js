// The viewer: one image large, a slider over another image, a card with everything that is known about it.

const viewer = document.getElementById("viewer");
const viewed = { row: null, method: 0, against: "", zoomed: false };
const NO_OTHER = ["", "nothing", null];

function openViewer(place, method, against = viewed.against) {
  Object.assign(viewed, { row: rows[place] ?? viewed.row, method, against });
  drawViewer();
  if (!viewer.open) viewer.showModal();
}

/** The pictures that the image can be laid over: key, name, element. The same seed's, and photographs. */
function opposites(row, method) {
  const found = [NO_OTHER];
  const add = (key, other, name) => {
    const cell = row.cells[other];
    if (cell?.image && other !== method) found.push([key, name, picture(cell)]);
  };
  if (methods[method].twin !== undefined) add("twin", methods[method].twin, methods[methods[method].twin].label);
  const floor = methods.findIndex((one) => one.label === data.floor);
  if (floor >= 0) add("floor", floor, `${data.floor}, same seed`);
  for (const [kind, name] of [["references", "reference"], ["held_out", "held-out photograph"]]) {
    gallery.people[row.person][kind].forEach((photo, i) => {
      found.push([`${kind}:${i}`, `${name} ${i + 1}`, element("img", { src: address(photo), alt: "" })]);
    });
  }
  row.cells.forEach((_, i) => {
    if (i !== floor && i !== methods[method].twin) add(`method:${i}`, i, methods[i].label);
  });
  return found;
}

/** The stored image, or its thumbnail where the page is apart from the run folder. */
function picture(cell, alt = "") {
  const made = element("img", { src: cell.full || address(cell.image), alt });
  made.addEventListener("error", () => { made.src = address(cell.image); }, { once: true });
  made.addEventListener("load", () => made.classList.toggle("pixelated", made.naturalWidth < 200));
  return made;
}

function drawViewer() {
  const { row, method } = viewed;
  const cell = row.cells[method];
  const found = opposites(row, method);
  const [key, name, overlay] = found.find(([one]) => one === viewed.against) ?? NO_OTHER;
  const text = `${row.person}, ${row.prompt}, ${methods[method].label}`;
  const own = cell.image ? picture(cell, text) : element("p", { class: "none" }, cell.problem);
  const compare = selection("compare with ", found, (value) => { viewed.against = value; drawViewer(); }, key);
  const over = overlay ? element("div", { class: "over" }, overlay) : null;
  const parts = [stage(own, over)];
  if (over) parts.push(...slider(over, name, methods[method].label));
  const link = `#cell=${[row.person, row.prompt, row.sample, methods[method].label].map(encodeURIComponent).join("/")}`;
  history.replaceState(null, "", link);
  const focused = document.activeElement?.dataset?.keep;
  viewer.replaceChildren(
    element("div", { class: "buttons" },
      element("span", { class: "hint" }, "← → methods, ↑ ↓ rows, 1 to 9 a method, C another comparison, Z zoom, Esc closes"),
      button("zoom", toggleZoom, { "data-keep": "zoom", "aria-pressed": String(viewed.zoomed) }),
      element("a", { href: link, "data-keep": "link" }, "link to this image"),
      button("close", () => viewer.close(), { "data-keep": "close", autofocus: true })),
    element("div", { class: "viewer" }, element("div", {}, ...parts, compare), card(row, cell, method)));
  viewer.setAttribute("aria-label", text);
  viewer.querySelector(`[data-keep="${focused ?? "close"}"]`)?.focus();
}

/** Both images, over one another; zoomed, they follow the pointer together. */
function stage(own, over) {
  const made = element("div", { class: viewed.zoomed ? "stage zoomed" : "stage" }, own, over);
  made.addEventListener("click", toggleZoom);
  made.addEventListener("pointermove", (event) => {
    const box = made.getBoundingClientRect();
    made.style.setProperty("--x", `${100 * (event.clientX - box.left) / box.width}%`);
    made.style.setProperty("--y", `${100 * (event.clientY - box.top) / box.height}%`);
  });
  return made;
}

function toggleZoom() {
  viewed.zoomed = !viewed.zoomed;
  viewer.querySelector(".stage").classList.toggle("zoomed", viewed.zoomed);
  viewer.querySelector("[aria-pressed]").setAttribute("aria-pressed", viewed.zoomed);
}

function slider(over, name, label) {
  const range = element("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": `share of ${name}` });
  const clip = () => { over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`; };
  range.addEventListener("input", clip);
  clip();
  return [range, element("div", { class: "ends" }, element("span", {}, name), element("span", {}, label))];
}

/** Every score of the image beside that of the other run or of the floor, and where the image comes from. */
function card(row, cell, method) {
  const other = methods[method].twin ?? methods.findIndex((one) => one.label === data.floor);
  const besides = other !== method && row.cells[other] ? row.cells[other] : null;
  const line = (name, ...values) => element("tr", {}, element("th", { scope: "row" }, name),
    ...values.map((value) => element("td", {}, value)));
  const scores = gallery.metrics.flatMap((metric, i) => {
    const value = cell.scores[i] === undefined ? cell.reasons[i] : number(cell.scores[i]);
    if (value === undefined) return [];
    const mark = metric.overlap[method] ? element("div", { class: "hint" }, metric.overlap[method]) : "";
    const made = line(metric.title, value, ...(besides ? [number(besides.scores[i])] : []));
    made.children[1].append(mark);
    return [made];
  });
  const about = [line("seed", String(cell.seed)), line("fit", String(cell.fit)), line("seconds", number(cell.seconds)),
    line("fingerprint", cell.fingerprint || "-")];
  if (cell.disagreement !== null) about.unshift(line("disagreement of the face networks (ranks)", number(cell.disagreement)));
  if (cell.problem) about.unshift(line("problem", cell.problem));
  const head = element("tr", {}, ...["score", "image", ...(besides ? [methods[other].label] : [])]
    .map((text) => element("th", { scope: "col" }, text)));
  return element("div", {},
    element("h3", {}, swatch(methods[method]), methods[method].label),
    element("p", {}, `${row.person}: ${row.text}`),
    element("p", { class: "hint" }, `${row.prompt} (${row.category}), image ${row.sample}`),
    scores.length ? element("table", {}, element("thead", {}, head), element("tbody", {}, ...scores)) : "",
    element("table", {}, element("tbody", {}, ...about)));
}

function moveViewer(event) {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const place = rows.indexOf(viewed.row);
  const present = viewed.row.cells.map((_, i) => i).filter((i) => viewed.row.cells[i] && chosen.methods.has(i));
  const across = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const target = across ? present[present.indexOf(viewed.method) + across] : present[Number(event.key) - 1];
  if (event.key.toLowerCase() === "c") nextComparison();
  else if (event.key.toLowerCase() === "z") toggleZoom();
  else if (down) { if (rows[place + down]?.cells[viewed.method]) openViewer(place + down, viewed.method); }
  else if (target !== undefined) openViewer(place, target);
  else return;
  event.preventDefault();
}

function nextComparison() {
  const keys = opposites(viewed.row, viewed.method).map(([key]) => key);
  viewed.against = keys[(keys.indexOf(viewed.against) + 1) % keys.length];
  drawViewer();
}
