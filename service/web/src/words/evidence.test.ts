import { expect, test } from "vitest";
import { evidenceOf, type Evidence } from "./evidence";

const shoe: Evidence = {
  given: "boot",
  suggested: "bag",
  opposing: Array.from({ length: 5 }, () => ({ label: "bag" })),
  supporting: [{ label: "boot" }],
  witnesses: { class: "bag", looked_at: 50, against: [50, 50] },
  margins: [-2, -1],
  isTrained: true,
};

test("samples that were hurt, those that are similar, and the training all speak", () => {
  expect(evidenceOf(shoe)).toEqual([
    "These 5 are labelled bag, and training on this sample as boot raised their loss.",
    "Of the 50 most similar samples labelled bag, all spoke against this label throughout.",
    "The model preferred another class than boot throughout the training.",
  ]);
});

test("of predictions nothing was trained", () => {
  expect(evidenceOf({ ...shoe, isTrained: false, margins: [-1] })[0]).toContain("would raise their loss");
});

test("samples of its own label that were hurt are no evidence for another", () => {
  const said = evidenceOf({ ...shoe, opposing: [{ label: "boot" }], witnesses: null, margins: [1, 2] });
  expect(said).toEqual(["The model agreed with boot throughout the training."]);
});
