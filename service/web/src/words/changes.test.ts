import { expect, test } from "vitest";
import { accuracyOf, labelOf, placeOf } from "./changes";

const side = (train_accuracy: number | null) => ({
  job: "job_1",
  dataset: "ds_1",
  created_at: "2026-01-01T00:00:00Z",
  samples: 10,
  flagged: 2,
  train_accuracy,
  reference_accuracy: null,
});
const place = (rank: number, given_label: string, verdict: "mislabeled" | "clean") => ({
  rank,
  score: 0.5,
  verdict,
  given_label,
  suggested_label: "b",
});

test("a gain on the same reference comes first", () => {
  const accuracy = { comparable: true, before: 0.81, after: 0.843, gain: 0.033, note: "" };
  const said = accuracyOf({ accuracy, before: side(0.9), after: side(0.8) });
  expect([said.before, said.after, said.gain, said.tone]).toEqual(["81.0 %", "84.3 %", "+3.3 points", "good"]);
});

test("without a common reference the training accuracies are compared, and why is said", () => {
  const accuracy = { comparable: false, before: null, after: null, gain: null, note: "each job drew its own holdout" };
  const said = accuracyOf({ accuracy, before: side(0.9), after: side(0.88) });
  expect([said.gain, said.tone]).toEqual(["−2.0 points", "soft"]);
  expect(said.note).toContain("each job drew its own holdout");
});

test("a sample says what happened to it", () => {
  const item = {
    sample_id: "x",
    before: place(3, "a", "mislabeled"),
    after: place(120, "b", "clean"),
    why: "relabelled",
  } as const;
  expect(labelOf(item)).toBe("a → b");
  expect(placeOf(item)).toBe("rank 3 → 120, looks fine now");
  expect(placeOf({ ...item, after: null, why: "removed" })).toBe("removed");
});
