// The ranking of a job by any signal, filtered by verdict and label, in pages.

import { json } from "/web/api.js";
import { at, attempt, button, count, element, image, options, percent, short, words } from "/web/dom.js";
import { reviewText } from "/web/reviews.js";

const PAGE = 25;
let job = null;
let items = [];
let next = null;
let total = 0;
let requested = 0; // number of rankings requested: only the last is drawn, in whatever order they arrive
let loading = null; // request of the next page
let titles = null;
let open = () => {};

/** Set up the table; `opened` gets the job and the position of a row that is clicked. */
export function start(opened) {
  open = opened;
  for (const id of ["by", "verdict", "given", "suggested"]) {
    at(id).addEventListener("change", () => attempt(begin));
  }
  at("more").addEventListener("click", () => attempt(more));
  document.addEventListener("reviewed", ({ detail }) => mark(detail.id, detail.review));
}

/** Show the ranking of a completed job. */
export async function rank(completed) {
  job = completed;
  titles ??= new Map((await json("/signals")).items.map((signal) => [signal.name, signal]));
  at("by").replaceChildren(...options(job.result.signals.map((name) => [name, titleOf(name)])));
  const classes = job.dataset.classes.map((name) => [name, name]);
  for (const id of ["given", "suggested"]) at(id).replaceChildren(...options([["", "any"], ...classes]));
  at("verdict").value = "";
  await begin();
}

/** Path of the ranking as shown, with more query parameters. */
export function query(more) {
  const wanted = new URLSearchParams({ by: at("by").value, ...more });
  for (const [name, id] of [
    ["verdict", "verdict"],
    ["label", "given"],
    ["suggested", "suggested"],
  ]) {
    if (at(id).value) wanted.set(name, at(id).value);
  }
  return `${job.links.suspects}?${wanted}`;
}

async function begin() {
  requested += 1;
  const mine = requested;
  [next, loading] = [null, null]; // the old ranking is not continued
  at("more").hidden = true;
  const found = await json(query({ limit: PAGE }));
  if (mine !== requested) return;
  items = [];
  at("rows").replaceChildren();
  const verdict = at("verdict").value || (["mislabeled", "anomalous"].includes(found.by) && found.by);
  const flagged = `${count(found.flagged)} flagged in this job${verdict ? ` as ${verdict}` : ""}`;
  at("shown").textContent = `${count(found.total)} samples${verdict === "clean" ? "" : `, ${flagged}`}`;
  at("meaning").textContent = titles.get(found.by)?.high ?? "more suspicious";
  append(found);
}

// Each page is fetched once, also when it is requested several times.
async function more() {
  const mine = requested;
  loading ??= json(query({ limit: PAGE, cursor: next }));
  const page = loading;
  try {
    const found = await page;
    if (mine === requested && loading === page) append(found);
  } finally {
    if (loading === page) loading = null;
  }
}

function append(found) {
  [next, total] = [found.next, found.total];
  at("more").hidden = next === null;
  at("rows").append(...found.items.map((item, place) => row(item, items.length + place)));
  items.push(...found.items);
}

/** Number of rows, with those that are not fetched yet. */
export const size = () => total;

/** The row at a position from 0; fetches the next page if needed. undefined after the last row. */
export async function placed(place) {
  if (place >= items.length && next !== null) await more();
  return items[place];
}

/** Title of a signal. */
export const titleOf = (name) => titles?.get(name)?.title ?? name;

/** Position of a sample among the fetched rows; -1 for others. */
export const placeOf = (id) => items.findIndex((item) => item.sample.id === id);

function row(item, place) {
  const name = button(item.sample.id, () => open(job, place), { className: "link" });
  const planted = item.planted && element("div", { className: "soft", textContent: plantedText(item.planted) });
  const agrees = item.suggested_label === item.given_label;
  const made = element(
    "tr",
    {},
    element("td", { textContent: count(item.rank) }),
    element("td", {}, element("div", { className: "card" }, ...preview(item.sample, name))),
    element("td", {}, item.given_label, planted),
    element(
      "td",
      { className: agrees ? "soft" : "" },
      `${item.suggested_label} (${percent(item.suggested_confidence)})`,
    ),
    element("td", { textContent: short(item.score) }),
    element("td", {}, element("span", { className: `badge ${item.verdict}`, textContent: item.verdict })),
    element("td", { className: "review", textContent: reviewText(item.review) }),
  );
  made.dataset.sample = item.sample.id;
  return made;
}

export const plantedText = ({ kind, original_label: original }) =>
  kind.startsWith("mislabeled") ? `planted, was ${original}` : `planted, ${kind.replaceAll("_", " ")}`;

function preview(sample, name) {
  const parts = Object.entries(sample.preview).map(([feature, value]) => `${feature}: ${words(value)}`);
  if (sample.links.media && "width" in sample.preview) return [image(sample.links.media, 128, ""), name];
  const text = job.dataset.modality === "text" ? sample.preview.text : parts.join(", ");
  return [element("div", {}, name, element("small", { textContent: text }))];
}

function mark(id, review) {
  const item = items[placeOf(id)];
  if (item) item.review = review;
  const rows = [...at("rows").children].filter((one) => one.dataset.sample === id);
  for (const one of rows) one.querySelector(".review").textContent = reviewText(review);
}
