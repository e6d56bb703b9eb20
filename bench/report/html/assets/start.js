// Links into the page, keys, and the start.

/** The parts of an address such as `#method=loo-mean&person=ada`, by name; each part is a list of words. */
function linkParts() {
  const parts = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [name, rest = ""] = part.split("=");
    try { parts[name] = rest.split("/").map(decodeURIComponent); } catch { return {}; }
  }
  return parts;
}

/** Opens `#cell=person/prompt/sample/method`, or shows the rows of `#method=label&person=id`. */
function followLink() {
  const { cell, method, person } = linkParts();
  if (!gallery.rows.length) return;
  if (cell) openCell(...cell);
  else if (method || person) {
    if (method) showMethod(method[0]);
    const list = document.querySelector('#images [aria-label="person"]');
    list.value = chosen.person = person && Object.hasOwn(gallery.people, person[0]) ? person[0] : "";
    drawGallery();
    document.getElementById("gallery").scrollIntoView();
  }
}

function openCell(person, prompt, sample, label) {
  const method = methods.findIndex((one) => one.label === label);
  const row = gallery.rows.find((one) => one.person === person && one.prompt === prompt && String(one.sample) === sample);
  if (!row?.cells[method]) return;
  viewed.row = row;
  openViewer(rows.indexOf(row), method);
}

/** Shows one method, beside the floor; all for null and for an unknown one. */
function showMethod(label) {
  const wanted = methods.findIndex((one) => one.label === label);
  document.querySelectorAll("#methods input").forEach((box, i) => {
    box.checked = wanted < 0 || i === wanted || i === methods[wanted].twin || methods[i].label === data.floor;
    if (box.checked) chosen.methods.add(i); else chosen.methods.delete(i);
  });
}

/** Arrow keys move the focus between the images of the gallery. */
function moveFocus(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !event.target.matches(".image")) return;
  const all = [...document.querySelectorAll(".image")];
  const next = all[all.indexOf(event.target) + step];
  if (next) { next.focus(); event.preventDefault(); }
}

/** Loads the images of the rows that are drawn, also those out of sight. */
function loadDrawn() {
  document.querySelectorAll(".image img").forEach((image) => { image.loading = "eager"; });
}

if (table) startTable();
startGallery();
followLink();
addEventListener("hashchange", followLink);
document.getElementById("images").addEventListener("keydown", moveFocus);
viewer.addEventListener("keydown", moveViewer);
viewer.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
addEventListener("beforeprint", () => {
  document.querySelectorAll("main details").forEach((one) => { one.open = true; });
  loadDrawn();
});
// Printing does not wait for images: the first rows have them before.
addEventListener("load", () => setTimeout(loadDrawn, 1000));
