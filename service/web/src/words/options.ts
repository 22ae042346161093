// The options of a job, as it was done, in words.

import type { Job } from "$/api/types";
import { count, counted, percent, short } from "./numbers";
import { modelOf } from "./models";

type Spec = Job["spec"];

const REFERENCES: [keyof NonNullable<Spec["reference"]>, (value: never) => string][] = [
  ["samples", (value: string[]) => `${counted(value.length, "sample")} that people verified`],
  ["split", (value: string) => `the part “${value}” of the dataset`],
  ["dataset", () => "another dataset"],
  ["holdout", (value: number) => `${percent(value)} of the samples, held out`],
];

/** What the influence was measured on. */
export function referenceOf(reference: Spec["reference"]): string {
  if (!reference) return "the training samples themselves";
  for (const [name, say] of REFERENCES) {
    const value = reference[name];
    if (value !== null && value !== undefined) {
      const trusted = name !== "holdout" && name !== "samples" && reference.trusted !== false ? ", trusted" : "";
      return say(value as never) + trusted;
    }
  }
  return "the training samples themselves";
}

const LAYERS: Record<string, string> = { last: "the last layer", "last-2": "the last two layers", all: "all layers" };

/** "width", "256": a row of a list of options; those of the training only where one took place. */
export function optionsOf(
  { model, fallback, training, influence, reference, glitches }: Spec,
  trains: boolean,
  found?: number | null,
): [string, string][] {
  const rate = found ?? training.learning_rate;
  const rows: [string, string | false][] = [
    ["Model", modelOf({ model, fallback })],
    ...Object.entries(model.params ?? {}).map(([name, value]): [string, string | false] => [
      sentence(name),
      value !== null && say(value),
    ]),
    ["Epochs", trains && count(training.epochs)],
    ["Batch size", trains && count(training.batch_size)],
    ["Learning rate", trains && `${short(rate)}${training.find_learning_rate ? ", found by short runs" : ""}`],
    ["Optimizer", trains && (training.optimizer === "sgd" ? `SGD, momentum ${training.momentum}` : "AdamW")],
    ["Schedule", trains && (training.schedule === "cosine" ? "cosine" : "constant rate")],
    ["Weight decay", trains && training.weight_decay > 0 && short(training.weight_decay)],
    ["Seed", String(training.seed)],
    ["Checkpoints kept", training.checkpoints === "all" ? "all" : count(training.checkpoints)],
    ["Compared with", referenceOf(reference)],
    ["Gradients of", LAYERS[String(influence.layers)] ?? [influence.layers].flat().join(", ")],
    [
      "Planted errors",
      glitches?.length
        ? glitches.map(({ kind, rate: share }) => `${percent(share)} ${kind.replaceAll("_", " ")}`).join(", ")
        : false,
    ],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== false && row[1] !== "");
}

const say = (value: unknown): string =>
  typeof value === "number"
    ? short(value)
    : typeof value === "string"
      ? value.replaceAll("_", " ")
      : typeof value === "boolean"
        ? value
          ? "yes"
          : "no"
        : JSON.stringify(value);

const sentence = (name: string): string => {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const PHASES: Record<string, string> = {
  preparing_s: "Preparing the data",
  first_ranking_s: "First ranking",
  training_s: "Training",
  scoring_s: "Measuring influence",
  ranking_s: "Ranking",
};

/** Phases with their seconds, in their order. */
export const timingsOf = (timings: Record<string, number>): [string, number][] =>
  Object.entries(timings).map(([name, seconds]) => [PHASES[name] ?? sentence(name.replace(/_s$/, "")), seconds]);
