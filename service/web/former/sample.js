// One sample: its content, the reason for the suspicion, the review.

import { json } from "/web/api.js";
import { at, attempt, button, count, element, image, options, percent, showMessage, words } from "/web/dom.js";
import { draw as drawEvidence } from "/web/evidence.js";
import { placed, placeOf, plantedText, size } from "/web/ranking.js";
import { decide, reviewText, undo } from "/web/reviews.js";

const WORK = {
  previous: ["ArrowLeft", () => go(place - 1)],
  next: ["ArrowRight", () => go(place + 1)],
  keep: ["k", () => once(() => judge("keep"))],
  relabel: ["r", () => once(() => judge("relabel", sample.suggested_label))],
  remove: ["x", () => once(() => judge("remove"))],
  unsure: ["u", () => once(() => judge("unsure"))],
  undo: ["z", () => once(undoLast)],
};
let job = null;
let place = 0; // position in the ranking, also while a linked sample is shown
let sample = null;
let requested = 0;
let deciding = false;

export function start() {
  for (const [id, [, work]] of Object.entries(WORK)) at(id).addEventListener("click", () => attempt(work));
  at("other").addEventListener("change", () => {
    at("other").blur(); // a focused list would take the keys
    attempt(() => once(() => judge("relabel", job.dataset.classes[at("other").value])));
  });
  // Keys are handled on the document: a focused button that is disabled loses the focus.
  document.addEventListener("keydown", (event) => {
    if (!at("sample").open) return;
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const [id, [, work]] = Object.entries(WORK).find(([, [key]]) => key === pressed) ?? [null, []];
    const ignored = event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input");
    if (!id || ignored || at(id).disabled) return;
    event.preventDefault();
    attempt(work);
  });
}

/** Show the sample at a position of a job's ranking. */
export async function open(completed, wanted) {
  job = completed;
  const classes = job.dataset.classes.map((name, number) => [number, name]);
  at("other").replaceChildren(...options([["", "another class…"], ...classes]));
  at("decided").textContent = "";
  await go(wanted);
}

async function go(wanted) {
  const item = wanted < 0 ? undefined : await placed(wanted);
  if (!item) return;
  place = wanted;
  await visit(item.sample.links.self);
}

/** Show a sample by its path in the API; only the last requested sample is drawn. */
async function visit(path) {
  requested += 1;
  const mine = requested;
  const found = await json(path);
  if (mine !== requested) return;
  sample = found;
  draw(await placed(place));
  if (!at("sample").open) at("sample").showModal();
  at("sample").scrollTop = 0;
}

function draw(item) {
  const suggests = sample.suggested_label !== null && sample.suggested_label !== sample.given_label;
  at("sample-name").textContent = sample.id;
  const here = item.sample.id === sample.id;
  at("sample-place").textContent = here ? `${count(place + 1)} of ${count(size())}` : `opened from ${item.sample.id}`;
  at("previous").disabled = place === 0;
  at("next").disabled = place + 1 >= size();
  at("labels").replaceChildren(...labels(suggests));
  at("reason").textContent = sample.reason;
  at("relabel").disabled = !suggests;
  at("relabel-to").textContent = suggests ? sample.suggested_label : "the suggested label";
  at("other").value = "";
  at("standing").textContent = sample.review ? `Reviewed: ${reviewText(sample.review)}.` : "Not reviewed yet.";
  at("media").replaceChildren(...media());
  drawEvidence(sample, job, (path) => attempt(() => visit(path)));
}

function labels(suggests) {
  const strong = (text) => element("strong", { textContent: text });
  return [
    "Labelled ",
    strong(sample.given_label),
    ...(suggests ? [", suggested ", strong(sample.suggested_label), ` (${percent(sample.suggested_confidence)})`] : []),
    ...(sample.verdict
      ? [" ", element("span", { className: `badge ${sample.verdict}`, textContent: sample.verdict })]
      : []),
    ...(sample.planted ? [" ", element("span", { className: "soft", textContent: plantedText(sample.planted) })] : []),
  ];
}

function media() {
  const facts = Object.entries(sample.features);
  const pictured = job.dataset.modality === "image";
  const shown = pictured ? Object.entries(facts[0]?.[1] ?? {}) : facts;
  const list = element(
    "dl",
    {},
    ...shown.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, words(value))]),
  );
  const tool =
    sample.links.tool &&
    element("a", {
      href: sample.links.tool,
      target: "_blank",
      rel: "noopener",
      textContent: "Open in the labelling tool",
    });
  return [pictured && image(sample.links.media, 640, `Sample ${sample.id}`), list, tool].filter(Boolean);
}

// A key pressed twice must not decide a sample twice: keys are ignored until the next sample is shown.
async function once(work) {
  if (deciding) return;
  deciding = true;
  try {
    await work();
  } finally {
    deciding = false;
  }
}

async function judge(decision, label) {
  const id = sample.id;
  const review = await decide(id, sample.review, decision, label);
  at("decided").textContent = `${id}: ${reviewText(review)}. Press Z to undo.`;
  sample = { ...sample, review };
  const here = await placed(place);
  // After a linked sample, the sample in the ranking is shown again.
  await go(here.sample.id === id && (await placed(place + 1)) ? place + 1 : place);
}

async function undoLast() {
  const id = await undo();
  if (id === null) return showMessage("There is nothing to undo.");
  at("decided").textContent = `${id}: undone.`;
  const known = placeOf(id);
  return known < 0 ? visit(`${job.links.self}/samples/${encodeURIComponent(id)}`) : go(known);
}
