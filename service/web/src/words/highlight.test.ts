import { expect, test } from "vitest";
import { around, pieces } from "./highlight";

test("every hit is marked and the text stays whole", () => {
  const found = pieces("The cat, the Cat.", "cat");
  expect(found.map(({ text }) => text).join("")).toBe("The cat, the Cat.");
  expect(found.filter(({ isHit }) => isHit).map(({ text }) => text)).toEqual(["cat", "Cat"]);
});

test("signs of patterns are searched as they stand", () => {
  expect(pieces("a.b axb", "a.b").filter(({ isHit }) => isHit)).toHaveLength(1);
});

test("a late hit is brought into sight", () => {
  expect(around(`${"x".repeat(500)} needle`, "needle", 200)).toMatch(/^…x+ needle$/);
  expect(around("needle at once", "needle", 200)).toBe("needle at once");
});
