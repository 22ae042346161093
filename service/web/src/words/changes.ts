// What differs between two jobs, in words.

import type { Diff, DiffItem } from "$/api/versions";
import { count, percent } from "./numbers";
import { VERDICTS } from "./verdicts";

export const LISTS: { name: "vanished" | "appeared" | "relabelled" | "moved"; title: string; none: string }[] = [
  { name: "vanished", title: "No longer suspects", none: "Every suspect still is one." },
  { name: "appeared", title: "New suspects", none: "No new ones." },
  { name: "relabelled", title: "With another label", none: "All labels are the same." },
  { name: "moved", title: "Moved among the first", none: "None of the first has moved." },
];

export const SPEC_PARTS: Record<string, string> = {
  reference: "trusted samples",
  model: "the model",
  training: "the training",
  influence: "how influence is measured",
  glitches: "planted errors",
};

/** "boot → sneaker" where the label changed, the label where it did not. */
export function labelOf({ before, after }: DiffItem): string {
  const [then, now] = [before?.given_label, after?.given_label];
  if (then && now && then !== now) return `${then} → ${now}`;
  return now ?? then ?? "";
}

const WHY: Partial<Record<DiffItem["why"], string>> = {
  removed: "removed",
  held_out: "now among the trusted samples",
  new: "newly ranked",
};

/** "rank 3 → 1,204, looks fine now". */
export function placeOf({ before, after, why }: DiffItem): string {
  if (!before || !after) return WHY[why] ?? "";
  const ranks = `rank ${count(before.rank)} → ${count(after.rank)}`;
  const title = VERDICTS[after.verdict]?.title.toLowerCase();
  return before.verdict === after.verdict || !title ? ranks : `${ranks}, ${title} now`;
}

export interface Accuracy {
  title: string;
  before: string;
  after: string;
  gain: string;
  tone: "good" | "wrong" | "soft";
  note: string;
}

const shown = (share: number | null | undefined): string =>
  share === null || share === undefined ? "–" : percent(share, 1);

/** Accuracy before and after: on the same reference where there is one, else on what each was trained with. */
export function accuracyOf({ accuracy, before, after }: Pick<Diff, "accuracy" | "before" | "after">): Accuracy {
  if (accuracy.comparable) {
    return {
      title: "Accuracy on the reference",
      before: shown(accuracy.before),
      after: shown(accuracy.after),
      ...change(accuracy.before, accuracy.after),
      note: "Measured on the same samples with the same labels.",
    };
  }
  return {
    title: "Accuracy on its own training samples",
    before: shown(before.train_accuracy),
    after: shown(after.train_accuracy),
    ...change(before.train_accuracy, after.train_accuracy),
    tone: "soft", // to agree with more of one's own labels is neither good nor bad
    note: `How well the model agrees with the labels that it learnt. Accuracy on a reference cannot be compared: ${accuracy.note}.`,
  };
}

function change(before: number | null | undefined, after: number | null | undefined): Pick<Accuracy, "gain" | "tone"> {
  if (typeof before !== "number" || typeof after !== "number") return { gain: "", tone: "soft" };
  const points = (after - before) * 100;
  const text = `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(1)} points`;
  return { gain: text, tone: points > 0.05 ? "good" : points < -0.05 ? "wrong" : "soft" };
}
