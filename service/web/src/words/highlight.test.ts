import { expect, test } from "vitest";
import { around, beginning, partsOf, pieces } from "./highlight";

test("every hit is marked and the text stays whole", () => {
  const found = pieces("The cat, the Cat.", "cat");
  expect(found.map(({ text }) => text).join("")).toBe("The cat, the Cat.");
  expect(found.filter(({ isHit }) => isHit).map(({ text }) => text)).toEqual(["cat", "Cat"]);
});

test("signs of patterns are searched as they stand", () => {
  expect(pieces("a.b axb", "a.b").filter(({ isHit }) => isHit)).toHaveLength(1);
});

test("parts of a text make it whole, and cut neither a word nor a character", () => {
  for (const text of ["a word ".repeat(50), "x".repeat(500), "😀".repeat(200), " ".repeat(90), ""]) {
    const parts = partsOf(text, 41);
    expect(parts.join("")).toBe(text);
    expect(parts.every((part) => part.length > 0 && part.length <= 41)).toBe(true);
    expect(() => parts.map(encodeURIComponent)).not.toThrow(); // as it does of half a character
  }
  expect(beginning("one two three", 9)).toBe("one two ");
});

test("a late hit is brought into sight", () => {
  expect(around(`${"x".repeat(500)} needle`, "needle", 200)).toMatch(/^…x+ needle$/);
  expect(around("needle at once", "needle", 200)).toBe("needle at once");
});
