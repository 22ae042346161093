import { expect, test } from "vitest";
import { setsOf } from "./issues";

const sample = (id: string, group: number | null) => ({
  id,
  index: 0,
  label: "a",
  part: "training",
  group,
  detail: null,
});

test("samples of one group stand together, and others alone", () => {
  const given = [sample("a", 0), sample("b", null), sample("c", 1), sample("d", 0), sample("e", null)];
  expect(setsOf(given).map((set) => set.map((one) => one.id))).toEqual([["a", "d"], ["b"], ["c"], ["e"]]);
});
