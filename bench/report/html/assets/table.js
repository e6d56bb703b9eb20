// The comparison table: numbers to choose, columns to hide, headings that sort, notes below.

const { methods, table } = data;
const shown = { mode: "value", sort: null, reversed: false, hidden: new Set() };

function startTable() {
  const modes = element("fieldset", {}, element("legend", {}, "numbers"));
  for (const [mode, text] of table.modes) {
    const change = () => { shown.mode = mode; drawTable(); };
    const radio = element("input", { type: "radio", name: "mode", checked: mode === shown.mode, onchange: change });
    modes.append(element("label", {}, radio, text));
  }
  const columns = element("div", { class: "choices" });
  table.columns.forEach((column, i) => {
    columns.append(checkbox(column.title, true, (on) => {
      if (on) shown.hidden.delete(i); else shown.hidden.add(i);
      drawTable();
    }));
  });
  document.getElementById("table").append(
    element("div", { class: "controls" }, modes, element("details", {}, element("summary", {}, "columns"), columns)),
    element("p", { class: "hint" }, "A heading sorts, best first. Shaded: the best ranked method. Methods with a "
      + "common letter are not separable (paired by person and prompt, Holm's correction)."),
    element("div", { class: "scroll", id: "scores", tabindex: "0", role: "region", "aria-label": "scores" }),
    element("ol", { id: "notes", class: "hint" }),
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

/** Best first, then worst first, then the order of the run. */
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
  for (const [column, i] of columns) header.append(heading(column, i));
  const notes = [];
  const body = element("tbody", {}, ...sortedRows().map((row) => tableRow(row, columns, notes)));
  document.getElementById("scores").replaceChildren(element("table", {}, element("thead", {}, header), body));
  document.getElementById("notes").replaceChildren(
    ...notes.map((note, i) => element("li", { id: `note-${i + 1}` }, note)));
}

function heading(column, i) {
  const descends = (column.better === "lower") === shown.reversed;
  const sorted = shown.sort === i ? (descends ? "descending" : "ascending") : "none";
  const arrow = { none: "", descending: " ▾", ascending: " ▴" }[sorted];
  const sort = element("button", { type: "button", "data-column": i, onclick: () => chooseSort(i) },
    column.heading, element("span", { "aria-hidden": "true" }, arrow));
  const of = column.of ? element("div", { class: "hint" }, column.of) : null;
  return element("th", { scope: "col", "aria-sort": sorted }, sort, of);
}

function tableRow(row, columns, notes) {
  const { label, real } = table.rows[row];
  const method = methods.find((one) => one.label === label);
  const name = method ? element("a", { href: `#method=${encodeURIComponent(label)}`, title: "show in the gallery" }, label)
    : label;
  const line = element("tr", { class: real ? "real" : null });
  line.append(element("th", { scope: "row" }, method ? swatch(method) : null, name));
  for (const [column] of columns) line.append(tableCell(column.cells[row], notes));
  return line;
}

function tableCell(cell, notes) {
  const { text } = cell[shown.mode];
  const ranked = shown.mode === "value";
  const made = element("td", { class: ranked && cell.standing === "best" ? "best" : null });
  const [, mean, interval, rest] = text.match(/^([^[]*)(\[[^\]]*\])?(.*)$/);
  made.append(mean, interval ? element("span", { class: "interval" }, interval) : "", rest);
  if (ranked && cell.letters) made.append(element("span", { class: "letters" }, cell.letters));
  if (cell.note) {
    if (!notes.includes(cell.note)) notes.push(cell.note);
    const place = notes.indexOf(cell.note) + 1;
    const link = element("a", { href: `#note-${place}`, title: cell.note, "aria-label": `note ${place}` }, String(place));
    made.append(element("sup", {}, link));
  }
  return made;
}
