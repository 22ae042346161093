// One job: progress, training curves, results.

import { events, json, save } from "/web/api.js";
import { lines } from "/web/charts.js";
import { at, attempt, between, button, count, element, moment, options, percent, showMessage } from "/web/dom.js";
import { EXPORT_FORMATS } from "/web/exports.js";
import { ENDED, list, moves } from "/web/jobs.js";
import * as ranking from "/web/ranking.js";
import * as reviews from "/web/reviews.js";

let shown = null;
let following = new AbortController();

export function start() {
  at("download").addEventListener("click", () => attempt(() => save(ranking.query({ format: at("form").value }))));
}

/** Show a job by its id, follow it until it ends, then show its ranking. */
export async function show(id) {
  following.abort();
  following = new AbortController();
  const { signal } = following;
  const job = await json(`/jobs/${id}`);
  if (signal.aborted) return;
  if (location.hash !== `#${id}`) history.pushState(null, "", `#${id}`);
  at("new").open = false;
  parts(false);
  at("curves").replaceChildren();
  at("training").open = true;
  at("job").hidden = false;
  draw(job);
  at("job").scrollIntoView({ block: "nearest" });
  await follow(job, signal);
  if (signal.aborted) return;
  const ended = await json(job.links.self);
  draw(ended);
  at("training").open = false;
  list().catch(() => {});
  if (ended.state !== "completed") return;
  await found(ended);
  // The controls appear with the first ranking.
  if (!signal.aborted) parts(true);
}

function parts(seen) {
  for (const part of ["findings", "reviews", "ranking"]) at(part).hidden = !seen;
}

function draw(job) {
  shown = job;
  at("job-name").textContent = job.name;
  document.title = `${job.name}: Usual Suspects`;
  const { name, modality, rows, classes } = job.dataset;
  const trained = `Model ${job.spec.model.name}, ${count(job.spec.training.epochs)} epochs.`;
  at("job-facts").textContent =
    `${name}: ${count(rows)} samples (${modality}), ${count(classes.length)} classes. ` +
    `${modality === "predictions" ? "No model is trained." : trained} Submitted ${moment(job.created_at)}.`;
  standing(job.state, job.progress);
  at("job-actions").replaceChildren(...links(job), ...moves(job));
  showMessage(job.error?.detail ?? job.loop_trouble ?? "");
}

function links(job) {
  const next = job.links.next && button("Next job", () => show(job.links.next.split("/").pop()));
  return [report(job.links.report), next].filter(Boolean);
}

// The report opens in a tab without a key, and is saved as a file with one: a link sends no key.
function report(path) {
  if (!path) return null;
  const open = element("a", {
    href: path,
    target: "_blank",
    rel: "noopener",
    className: "button",
    textContent: "Report",
  });
  open.addEventListener("click", (event) => {
    if (!sessionStorage.getItem("key")) return;
    event.preventDefault();
    attempt(() => save(path));
  });
  return open;
}

function standing(state, progress) {
  const ended = ENDED.has(state);
  at("job-state").textContent = state;
  at("job-state").className = `badge ${state}`;
  at("progress").hidden = ended;
  at("bar").value = progress.fraction;
  const left = progress.eta_seconds ? `, about ${count(Math.ceil(progress.eta_seconds))} s left` : "";
  at("progress-text").textContent = ended ? "" : `${percent(progress.fraction)}: ${progress.detail || state}${left}`;
}

async function follow(job, signal) {
  const metrics = [];
  for await (const { event, data } of events(job.links.events, signal)) {
    if (event === "state" && !ENDED.has(data.state)) standing(data.state, shown.progress);
    if (event === "progress") {
      shown = { ...shown, progress: data };
      standing(at("job-state").textContent, data);
    }
    if (event === "metrics") {
      // A job that another worker took over sends an epoch twice.
      metrics[data.epoch] = data;
      curves(metrics.filter(Boolean));
    }
  }
}

function curves(metrics) {
  const epochs = metrics.map((one) => one.epoch);
  const drawn = ["loss", "accuracy"].map((name) =>
    lines(
      `Training ${name}`,
      epochs,
      metrics.map((one) => one[name]),
    ),
  );
  at("curves").replaceChildren(...drawn);
}

async function found(job) {
  const { samples, estimates, model, warnings } = job.result;
  const blind = warnings.some((warning) => ["no_trusted_reference", "no_features"].includes(warning.code));
  const learnt = job.dataset.modality === "predictions" ? "Accuracy of predictions" : "Training accuracy";
  const facts = [
    ["Probably mislabeled", `about ${count(estimates.mislabeled.count)}${between(estimates.mislabeled)}`],
    ["Anomalous", blind ? "not counted" : `about ${count(estimates.anomalous.count)}${between(estimates.anomalous)}`],
    ["Samples ranked", count(samples)],
    [learnt, model.train_accuracy === null ? "–" : percent(model.train_accuracy)],
    model.reference_accuracy !== null && ["Accuracy on the reference", percent(model.reference_accuracy)],
  ].filter(Boolean);
  at("facts").replaceChildren(
    ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
  at("warnings").replaceChildren(...warnings.map((warning) => element("li", { textContent: warning.detail })));
  const forms = EXPORT_FORMATS.filter(
    ({ modalities }) => !modalities || (!job.spec.glitches && modalities.includes(job.dataset.modality)),
  );
  at("form").replaceChildren(...options(forms.map(({ name, title }) => [name, title])));
  await Promise.all([ranking.rank(job), reviews.of(job)]);
}

/** Close the job. */
export function gone() {
  following.abort();
  history.pushState(null, "", location.pathname);
  document.title = "Usual Suspects";
  at("job").hidden = true;
  parts(false);
  at("new").open = true;
  return list();
}
