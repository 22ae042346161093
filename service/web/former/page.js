// The page: upload a file, follow the job, read the ranking, review samples. It uses the public API only.

import { use } from "/web/api.js";
import { at, attempt } from "/web/dom.js";
import * as job from "/web/job.js";
import * as jobs from "/web/jobs.js";
import * as ranking from "/web/ranking.js";
import * as reviews from "/web/reviews.js";
import * as sample from "/web/sample.js";
import * as submit from "/web/submit.js";

const named = () => location.hash.slice(1);

async function begin() {
  await Promise.all([jobs.list(), submit.models()]);
  if (named()) await job.show(named());
}

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  use(at("key").value);
  at("access").hidden = true;
  attempt(begin);
});
document.addEventListener("key-wanted", () => {
  at("access").hidden = false;
  at("key").focus();
});
addEventListener("hashchange", () => attempt(() => (named() ? job.show(named()) : job.gone())));

document.addEventListener("job-moved", ({ detail: { id, gone } }) => {
  attempt(jobs.list);
  if (named() === id) attempt(() => (gone ? job.gone() : job.show(id)));
});

submit.start(async (made) => {
  await jobs.list();
  await job.show(made.id);
});
jobs.start((id) => attempt(() => job.show(id)));
job.start();
reviews.start();
ranking.start((completed, place) => attempt(() => sample.open(completed, place)));
sample.start();
attempt(begin);
