import { expect, test } from "vitest";
import { decisionOfGroup, leaning, nearLabel } from "./groups";

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
  expect(decisionOfGroup(["a", "c"], decided, 300)).toBe("2 of the 2 most typical decided");
  expect(decisionOfGroup(["a", "b"], decided, 300)).toBe("Relabelled to boot");
});

test("where a half lies is said as strongly as it is, and a label is proposed for the half that leans alone", () => {
  const half = (leans_to: string | null, lean: number) => ({ leans_to, lean });
  const none = half(null, 0);
  expect(leaning(half("bag", 0.8), none)).toBe("leans to “bag”");
  expect(leaning(half("bag", 0.2), none)).toBe("leans a little to “bag”");
  expect(leaning(none, half("bag", 0.8))).toBe("no other label is near");
  expect(leaning(half("bag", 0.98), half("bag", 1))).toBe("leans to “bag”, as the other does");
  expect(nearLabel(half("bag", 0.8), none)).toBe("bag");
  expect(nearLabel(half("bag", 0.2), none)).toBeNull();
  expect(nearLabel(half("bag", 1), half("bag", 0.98))).toBeNull();
  expect(nearLabel(none, none)).toBeNull();
});
