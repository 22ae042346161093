import { expect, test } from "vitest";
import { FILTERS, readFilters } from "$/state/filters";
import { chipsOf } from "./chips";

test("every filter has a chip by which it is removed", () => {
  const query = new URLSearchParams(
    "verdict=mislabeled&label=cat&suggested=dog&decision=keep&reviewed=false&disagrees=true&min_confidence=0.9&min_score=0&q=a&ids=a,b&region=pca:0,0,1,0,1,1&part=tighter",
  );
  const chips = chipsOf(readFilters(query), true);
  expect(chips.map(({ name }) => name).sort()).toEqual([...FILTERS].sort());
  expect(chips.map(({ text }) => text)).toContain("2 chosen samples");
  for (const { text } of chips) expect(text).not.toMatch(/_|undefined/);
});

test("an order is no filter", () => {
  expect(chipsOf(readFilters(new URLSearchParams("by=si")), true)).toEqual([]);
});

test("how sure suggestions are is named only where it is told", () => {
  const texts = (isTold: boolean): string[] =>
    chipsOf(readFilters(new URLSearchParams("min_confidence=0.9")), isTold).map(({ text }) => text);
  expect(texts(true)).toEqual(["At least 90 % sure"]);
  expect(texts(false)).toEqual(["Surer suggestions"]);
});
