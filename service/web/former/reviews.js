// Reviews: saved, undone, counted, and applied as a corrected dataset.

import { json, post, save } from "/web/api.js";
import { at, attempt, button, count, percent } from "/web/dom.js";

const POLL_MS = 4000;
let job = null;
let asked = 0;
let done = []; // decisions made on this page: the sample, and its review before

export function start() {
  at("correct").addEventListener("click", () => attempt(correct));
  at("rerun").addEventListener("click", () => attempt(rerun));
}

/** Show the summary of a job's reviews. */
export async function of(completed) {
  job = completed;
  done = [];
  at("reviews-done").replaceChildren();
  await summarise();
}

/** A review as short text. */
export function reviewText(review) {
  if (!review) return "";
  const done = { keep: "kept", remove: "to be removed", unsure: "unsure", relabel: `relabelled to ${review.label}` };
  return done[review.decision] ?? "";
}

/** Save a decision on a sample; `before` is its review until now. */
export async function decide(id, before, decision, label) {
  const review = await send(id, { decision, ...(label !== undefined && { label }) });
  done.push({ id, before });
  return review;
}

/** Undo the last decision: the review before it is restored. Returns the sample's id, null without a decision. */
export async function undo() {
  const last = done.pop();
  if (!last) return null;
  const { decision, label } = last.before ?? { decision: "withdraw" };
  await send(last.id, { decision, ...(label && { label }) });
  return last.id;
}

async function send(id, words) {
  await post(`/jobs/${job.id}/reviews`, [{ sample_id: id, ...words }]);
  const review = words.decision === "withdraw" ? null : { label: null, ...words };
  document.dispatchEvent(new CustomEvent("reviewed", { detail: { id, review } }));
  attempt(summarise);
  return review;
}

async function summarise() {
  asked += 1;
  const mine = asked;
  const { flagged, reviewed, outcomes, precision } = await json(`/jobs/${job.id}/reviews/summary?signal=mislabeled`);
  if (mine !== asked) return;
  const looked = flagged - outcomes.flagged.pending;
  const sure =
    precision.precision === null
      ? ""
      : ` ${percent(precision.precision)} of them were wrong` +
        ` (95 % interval ${percent(precision.low)} to ${percent(precision.high)}).`;
  const others = reviewed - looked ? ` ${count(reviewed - looked)} others were reviewed.` : "";
  at("reviews-said").textContent = reviewed
    ? `${count(looked)} of ${count(flagged)} flagged samples reviewed.${sure}${others}`
    : "No sample is reviewed yet. Open a sample and decide whether its label is right.";
  for (const id of ["correct", "rerun"]) at(id).disabled = reviewed === 0;
}

async function correct() {
  const version = await post(`/datasets/${job.dataset.id}/versions`, { job: job.id, apply: "reviews" });
  const { relabelled, removed, verified } = version.lineage;
  const text =
    `Corrected dataset ${version.id}: ${count(version.rows)} samples, ${count(relabelled)} relabelled, ` +
    `${count(removed)} removed, ${count(verified)} verified by people.`;
  const download = button("Download it", () => save(`/datasets/${version.id}/download`));
  at("reviews-done").replaceChildren(text, " ", download);
}

async function rerun() {
  await post(`/jobs/${job.id}/rerun`);
  at("reviews-done").replaceChildren(
    "The job runs again on the corrected dataset, one minute after the last review…",
  );
  const asked = job.id;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (job.id !== asked) return;
    const { links, loop_trouble: trouble } = await json(job.links.self);
    if (trouble) return void at("reviews-done").replaceChildren(trouble);
    if (links.next) {
      const id = links.next.split("/").pop();
      return void at("reviews-done").replaceChildren(button("Next job", () => void (location.hash = id)));
    }
  }
}
