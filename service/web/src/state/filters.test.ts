import { expect, test } from "vitest";
import { passes, readFilters } from "./filters";

test("an address gives its filters, and nothing that is none", () => {
  const query = new URLSearchParams("label=cat&reviewed=false&min_confidence=0.9&min_score=x&verdict=odd&at=40&q=");
  expect(readFilters(query)).toEqual({ by: "mislabeled", label: "cat", reviewed: false, min_confidence: 0.9 });
});

test("zero is a value, and an empty one is none", () => {
  expect(readFilters(new URLSearchParams("min_score=0"))).toEqual({ by: "mislabeled", min_score: 0 });
  expect(readFilters(new URLSearchParams("min_score="))).toEqual({ by: "mislabeled" });
});

test("a review takes a sample out of the unreviewed, and into those of its decision", () => {
  const kept = { decision: "keep" as const };
  expect(passes({ by: "si", reviewed: false }, kept)).toBe(false);
  expect(passes({ by: "si", reviewed: false }, null)).toBe(true);
  expect(passes({ by: "si", decision: "remove" }, kept)).toBe(false);
  expect(passes({ by: "si", decision: "keep", reviewed: true }, kept)).toBe(true);
  expect(passes({ by: "si", q: "x" }, kept)).toBe(true);
});
