// Shared by the pages of a run: the data, and how elements are made.
// All content comes from the JSON in #data and is written as text, so that names and captions stay text.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

/** A new element with attributes, listeners (`onclick`) and children; strings become text. */
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

/** The mark of a method, in the colour and shape that it has in every plot. */
function swatch(method) {
  const made = element("span", { class: `swatch ${method.shape}`, "aria-hidden": "true" });
  made.style.background = method.color;
  return made;
}

function checkbox(text, checked, change) {
  const box = element("input", { type: "checkbox", checked, onchange: () => change(box.checked) });
  return element("label", {}, box, text);
}

/** A labelled list of choices, each a value and its text; `change` gets the chosen value. */
function selection(text, options, change, chosen = "") {
  const made = choices(text, options, change, chosen);
  return element("label", {}, text, made);
}

function choices(name, options, change, chosen = "") {
  const made = element("select", { "aria-label": name.trim(), onchange: () => change(made.value) });
  for (const [value, label] of options) made.append(element("option", { value }, label));
  made.value = chosen;
  return made;
}

function button(text, click, attributes = {}) {
  return element("button", { type: "button", class: "button", onclick: click, ...attributes }, text);
}

function number(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 10 ? 1 : 3);
}

/** The address of a thumbnail, which is beside the page or in it. */
function address(name) {
  return name.startsWith("data:") ? name : `${data.folder}/${name}`;
}
