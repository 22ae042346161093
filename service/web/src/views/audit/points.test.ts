import { expect, test } from "vitest";
import { pointsOf, topOf } from "./points";

const at = (drawn: number, low: number, high: number) => ({ drawn, wrong: { estimate: (low + high) / 2, low, high } });

test("the plot ends with what holds now, also while its history is older", () => {
  const now = { reviewed: { drawn: 30 }, wrong: at(30, 10, 40).wrong };
  expect(pointsOf([at(1, 0, 900), at(20, 5, 90), at(30, 11, 41)], now)).toEqual({
    drawn: [1, 20, 30],
    high: [900, 90, 40],
    low: [0, 5, 10],
    estimate: [450, 47.5, 25],
  });
});

test("after an undo no point lies behind the last one", () => {
  const now = { reviewed: { drawn: 19 }, wrong: at(19, 5, 95).wrong };
  expect(pointsOf([at(1, 0, 900), at(20, 5, 90)], now).drawn).toEqual([1, 19]);
});

test("wide first ranges do not press the last ones flat", () => {
  expect(topOf({ drawn: [1, 2], high: [6_000, 100], low: [0, 60], estimate: [9, 80] })).toBeCloseTo(312);
  expect(topOf({ drawn: [1], high: [50], low: [0], estimate: [9] })).toBeCloseTo(52);
});
