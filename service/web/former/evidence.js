// Evidence about a sample: training curves, influence on other samples, all signals.

import { json } from "/web/api.js";
import { bars, lines } from "/web/charts.js";
import { at, attempt, button, count, element, image, short, words } from "/web/dom.js";
import { titleOf } from "/web/ranking.js";

const NEIGHBOURS = 5;
const CLASSES = 8;
// A dataset of predictions has no training: the influence is that of a training step that was not taken.
const EFFECTS = { opposing: ["hurt", "would hurt"], supporting: ["helped", "would help"] };

/** Fill the lower part of the dialog; `visit` opens another sample by its path. */
export function draw(sample, job, visit) {
  at("plots").replaceChildren(...plots(sample.trajectory));
  for (const side of ["opposing", "supporting"]) {
    const effect = EFFECTS[side][Number(job.dataset.modality === "predictions")];
    at(`${side}-title`).textContent = `Training on this sample ${effect} these most`;
    at(side).replaceChildren(...sample[side].slice(0, NEIGHBOURS).map((one) => neighbour(one, job, visit)));
    at(`${side}-part`).hidden = sample[side].length === 0;
  }
  const signals = Object.entries(sample.signals).sort(([, one], [, other]) => one.rank - other.rank);
  at("signals-part").hidden = signals.length === 0;
  at("signals").replaceChildren(
    ...signals.map(([name, { value, rank }]) => row(titleOf(name), short(value), count(rank))),
  );
}

function plots(trajectory) {
  if (!trajectory) return [];
  const { epochs, loss, margin, self_influence: own, class_influence: byClass } = trajectory;
  const sums = Object.entries(byClass).map(([name, values]) => [name, values.reduce((sum, value) => sum + value, 0)]);
  sums.sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  const classes = sums.length ? [bars("Influence on classes", sums.slice(0, CLASSES))] : [];
  // Out-of-sample predictions have no epochs, so there are no curves.
  if (epochs[0] === 0) return classes;
  return [
    lines("Margin", epochs, margin, { zero: true }),
    lines("Loss", epochs, loss),
    lines("Self-influence", epochs, own),
    ...classes,
  ];
}

function row(...cells) {
  return element("tr", {}, ...cells.map((text) => element("td", { textContent: text })));
}

// A reference sample of the job's own dataset can be opened; one of another dataset has only its content.
function neighbour(one, job, visit) {
  const path = `${job.links.self}/samples/${encodeURIComponent(one.id)}`;
  const own = one.link.startsWith(`/datasets/${job.dataset.id}/`);
  const name = own
    ? button(one.id, () => visit(path), { className: "link" })
    : element("span", { textContent: one.id });
  const about = element("small", { textContent: `${one.label}, influence ${short(one.influence)}` });
  const content = element("div", { className: "content" });
  if (job.dataset.modality === "image") content.append(image(`${one.link}/media`, 128, ""));
  else attempt(async () => content.append(summary((await json(one.link)).features)));
  return element("li", {}, content, name, about);
}

function summary(features) {
  const parts = Object.entries(features);
  const text =
    parts.length === 1 ? words(parts[0][1]) : parts.map(([name, value]) => `${name}: ${words(value)}`).join(", ");
  return element("small", { textContent: text.length > 140 ? `${text.slice(0, 139)}…` : text });
}
