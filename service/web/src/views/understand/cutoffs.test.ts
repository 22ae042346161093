import { expect, test } from "vitest";
import { moved, nearestByCount, nearestByScore } from "./cutoffs";

const cuts = [
  { score: 0.9, flagged: 1 },
  { score: 0.6, flagged: 10 },
  { score: 0.1, flagged: 100 },
].map((one) => ({ ...one, expected: null, decided: 0, reviewed: null }));

test("the nearest cut-off is found by its count and by its score", () => {
  expect(nearestByCount(cuts, 12)).toBe(1);
  expect(nearestByCount(cuts, 0)).toBe(0);
  expect(nearestByScore(cuts, 0.2)).toBe(2);
  expect(nearestByScore(cuts, 5)).toBe(0);
});

test("keys move to higher scores on the right and stop at the ends", () => {
  expect(moved("ArrowRight", 1, 3)).toBe(0);
  expect(moved("ArrowRight", 0, 3)).toBe(0);
  expect(moved("PageDown", 0, 3)).toBe(2);
  expect(moved("Home", 0, 3)).toBe(2);
  expect(moved("a", 0, 3)).toBeUndefined();
});
