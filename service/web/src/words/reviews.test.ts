import { expect, test } from "vitest";
import { outcomeCounts, progressOf, restated } from "./reviews";

const said = { job: "job_1", source: "api", created_at: "2026-01-01T00:00:00Z" };
const summary = {
  flagged: 89,
  reviewed: 15,
  outcomes: {
    flagged: { pending: 77, relabelled_to_suggestion: 9, removed: 1, confirmed: 2 },
    clean: { confirmed: 3 },
  },
  precision: { decided: 12, precision: 10 / 12 },
};

test("to relabel to the given label is to keep it", () => {
  expect(restated({ ...said, decision: "relabel", label: "cat", given: "cat" })).toMatchObject({
    decision: "keep",
    label: null,
  });
  expect(restated({ ...said, decision: "relabel", label: "dog", given: "cat" })).toMatchObject({ label: "dog" });
});

test("what is reviewed of the flagged is what is not pending", () => {
  expect(progressOf(summary)).toEqual({ looked: 12, flagged: 89, others: 3, decided: 12, share: 10 / 12 });
});

test("changes are counted whether flagged or not", () => {
  expect(outcomeCounts(summary)).toEqual({ relabelled: 9, removed: 1, kept: 5, plausible: 0, unsure: 0 });
});
