import { expect, test } from "vitest";
import { ordered } from "./confusion";

const classes = ["a", "b", "c", "d", "e"].map((label) => ({ label, samples: 100 }));

test("classes that are confused stand together", () => {
  const found = ordered(classes, [
    { given: "a", suggested: "d", count: 20 },
    { given: "e", suggested: "b", count: 10 },
    { given: "b", suggested: "e", count: 9 },
  ]);
  expect(Math.abs(found.indexOf("a") - found.indexOf("d"))).toBe(1);
  expect(Math.abs(found.indexOf("b") - found.indexOf("e"))).toBe(1);
  expect(found.toSorted()).toEqual(["a", "b", "c", "d", "e"]);
});

test("a chain of confusions is laid out in its order", () => {
  const found = ordered(classes, [
    { given: "c", suggested: "a", count: 30 },
    { given: "a", suggested: "e", count: 20 },
    { given: "e", suggested: "b", count: 10 },
    { given: "b", suggested: "d", count: 5 },
  ]);
  expect(["caebd", "dbeac"]).toContain(found.join(""));
});

test("without confusions the order stays", () => {
  expect(ordered(classes, []).join("")).toBe("abcde");
});

test("of a hundred classes each is there once", () => {
  const many = Array.from({ length: 100 }, (_, place) => ({ label: String(place), samples: 10 }));
  const pairs = many.map(({ label }, place) => ({
    given: label,
    suggested: String((place * 37 + 11) % 100),
    count: place,
  }));
  expect(ordered(many, pairs).toSorted()).toEqual(many.map(({ label }) => label).toSorted());
});
