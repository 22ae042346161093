// The list of jobs, with their states and actions.

import { call, json, post } from "/web/api.js";
import { at, attempt, button, element, moment, percent } from "/web/dom.js";

export const ENDED = new Set(["completed", "failed", "cancelled"]);
const EVERY_MS = 3000;
let open = () => {};
let shown = "";
let running = false;
let limit = 20;

/** Set up the list; `opened` gets the id of a job that is clicked. */
export function start(opened) {
  open = opened;
  at("more-jobs").addEventListener("click", () =>
    attempt(() => {
      limit += 20;
      return list();
    }),
  );
  setInterval(() => running && !document.hidden && list().catch(() => {}), EVERY_MS);
}

/** Fetch and show the jobs. An unchanged list is not drawn again, so that the focus stays. */
export async function list() {
  const { items, total } = await json(`/jobs?limit=${Math.min(limit, 1000)}`);
  running = items.some((job) => !ENDED.has(job.state));
  const now = JSON.stringify(items.map((job) => [job.id, job.state, job.progress.fraction]));
  at("no-jobs").hidden = items.length > 0;
  at("job-table").hidden = items.length === 0;
  at("more-jobs").hidden = items.length === total;
  if (now === shown) return;
  shown = now;
  at("job-rows").replaceChildren(...items.map(row));
}

function row(job) {
  const progress = ENDED.has(job.state) ? "" : ` ${percent(job.progress.fraction)}`;
  const state = element("span", { className: `badge ${job.state}`, textContent: job.state + progress });
  if (job.error) state.title = job.error.detail;
  return element(
    "tr",
    {},
    element(
      "td",
      {},
      button(job.name, () => open(job.id), { className: "link" }),
    ),
    element("td", {}, `${job.dataset.name}, ${job.dataset.modality}`),
    element("td", {}, state),
    element("td", {}, element("time", { dateTime: job.created_at, textContent: moment(job.created_at) })),
    element("td", {}, element("span", { className: "actions" }, ...moves(job))),
  );
}

/** Buttons for the actions that a job's state allows; each sends the event "job-moved" when done. */
export function moves(job) {
  const move = (label, work) => button(label, work, { "aria-label": `${label} ${job.name}` });
  const moved = (gone) => document.dispatchEvent(new CustomEvent("job-moved", { detail: { id: job.id, gone } }));
  const ask = (label, path) => move(label, async () => moved(!(await post(`${job.links.self}/${path}`))));
  if (!ENDED.has(job.state)) return [ask("Cancel", "cancel")];
  const remove = async () => {
    if (!confirm(`Delete the job ${job.name}, its ranking and its reviews?`)) return;
    await call(job.links.self, { method: "DELETE" });
    moved(true);
  };
  return [...(job.state === "completed" ? [] : [ask("Retry", "retry")]), move("Delete", remove)];
}
