// Two images of one person and text, compared by the reader. Answers are kept in the browser and saved as a file.

const CHOICES = [["left", "Image A"], ["tie", "No difference"], ["right", "Image B"]];
const QUESTIONS = [
  { name: "identity", keys: ["a", "s", "d"],
    text: "Which image shows the person (or thing) of the reference photographs more faithfully?" },
  { name: "prompt", keys: ["j", "k", "l"],
    text: "Which image follows the text better?" },
];
const store = `personabench-votes-${data.study}`;
const state = kept() ?? { voter: random(), place: 0, answers: {}, known: {} };

/** The answers that this browser has of the study; null where there are none, or the browser keeps nothing. */
function kept() {
  try {
    return JSON.parse(localStorage.getItem(store));
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(store, JSON.stringify(state));
    return true;
  } catch {
    return false;
  }
}

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function answered(place) {
  return QUESTIONS.every((question) => state.answers[place]?.[question.name]);
}

function countAnswered() {
  return data.comparisons.filter((_, place) => answered(place)).length;
}

function answer(name, choice) {
  const before = answered(state.place);
  state.answers[state.place] = { ...state.answers[state.place], [name]: choice };
  // A changed answer stays in view.
  if (!before && answered(state.place) && state.place < data.comparisons.length - 1) state.place += 1;
  show();
}

function move(step) {
  state.place = Math.min(Math.max(state.place + step, 0), data.comparisons.length - 1);
  show();
}

function toggleKnown() {
  const person = data.comparisons[state.place].person;
  state.known[person] = !state.known[person];
  show();
}

/** The file that `bench votes --count` reads. */
function answersAsJson() {
  const answers = data.comparisons.flatMap((comparison, place) => {
    const own = state.answers[place];
    if (!own) return [];
    const known = Boolean(state.known[comparison.person]);
    return [{ comparison: place + 1, identity: own.identity ?? "", prompt: own.prompt ?? "", knows_person: known }];
  });
  const { study, run, seed } = data;
  const saved = new Date().toISOString();
  return JSON.stringify({ format: "personabench votes 1", study, run, seed, voter: state.voter, saved, answers }, null, 1);
}

function download() {
  const address = URL.createObjectURL(new Blob([answersAsJson()], { type: "application/json" }));
  const name = state.voter.replace(/[^\w-]+/g, "_").slice(0, 40);
  element("a", { href: address, download: `votes-${data.study}-${name}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function bar() {
  const done = countAnswered(), all = data.comparisons.length;
  const name = element("input", { value: state.voter, maxlength: 80, onchange: () => {
    state.voter = name.value.trim() || random();
    show();
  } });
  return element("div", { class: "bar" },
    element("span", { role: "status" }, `${done} of ${all} answered`),
    element("progress", { max: all, value: done, "aria-label": "answered" }),
    element("label", {}, "your name or code ", name),
    button("Save answers", download));
}

function figure(caption, image) {
  return element("figure", {}, element("img", { src: data.images[image], alt: caption }), element("figcaption", {}, caption));
}

function fieldset(question, comparison) {
  const chosen = state.answers[state.place]?.[question.name];
  const buttons = CHOICES.map(([choice, text], i) => element("button", {
    type: "button", class: "button", "aria-pressed": String(chosen === choice), onclick: () => answer(question.name, choice),
  }, `${text} `, element("kbd", {}, question.keys[i])));
  const text = question.name === "prompt" ? `${question.text} “${comparison.text}”` : question.text;
  return element("fieldset", {}, element("legend", {}, text), element("div", {}, ...buttons));
}

function show() {
  document.getElementById("about").open = countAnswered() === 0;
  const comparison = data.comparisons[state.place];
  const references = data.people[comparison.person].references;
  const known = checkbox(" I know this person ", Boolean(state.known[comparison.person]), toggleKnown);
  known.append(element("kbd", {}, "x"));
  const warning = keep() ? "" : "This browser keeps no answers: save them before you close the page.";
  const end = countAnswered() === data.comparisons.length ? "All answered. Save your answers and send the file back." : "";
  document.getElementById("study").replaceChildren(
    bar(),
    element("p", { role: "alert" }, warning || end),
    element("h2", {}, `Comparison ${state.place + 1} of ${data.comparisons.length}`),
    element("div", { class: "side-by-side" },
      element("div", { class: "references" },
        ...references.map((address, i) => element("img", { src: address, alt: `reference photograph ${i + 1}` })), known),
      element("div", { class: "shown" }, figure("Image A", comparison.left), figure("Image B", comparison.right))),
    ...QUESTIONS.map((question) => fieldset(question, comparison)),
    element("div", { class: "bar" }, button("← back", () => move(-1)), button("next →", () => move(1))));
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey) return;
  for (const question of QUESTIONS) {
    const place = question.keys.indexOf(event.key.toLowerCase());
    if (place >= 0) return answer(question.name, CHOICES[place][0]);
  }
  if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
  else if (event.key.toLowerCase() === "x") toggleKnown();
});

show();
