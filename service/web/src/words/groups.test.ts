import { expect, test } from "vitest";
import { decisionOfGroup } from "./groups";

const decided = new Map([
  ["a", { decision: "relabel", label: "boot" }],
  ["b", { decision: "relabel", label: "boot" }],
  ["c", { decision: "keep", label: null }],
]);

test("a decision on a whole group is said once", () => {
  expect(decisionOfGroup(["a", "b"], decided)).toBe("Relabelled to boot");
  expect(decisionOfGroup(["c"], decided)).toBe("Kept");
});

test("a group that was decided on in part says how far", () => {
  expect(decisionOfGroup(["a", "b", "d"], decided)).toBe("2 of 3 decided");
  expect(decisionOfGroup(["a", "c"], decided)).toBe("2 of 2 decided");
  expect(decisionOfGroup(["d"], decided)).toBeUndefined();
});
