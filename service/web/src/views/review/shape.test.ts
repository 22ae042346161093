import { expect, test } from "vitest";
import { shapeOf, SIZES } from "./shape";

const image = { modality: "image", features: ["image"], size: SIZES.usual };

test("at 1440 x 900 at least 24 cards are in sight, whole", () => {
  const { perRow, rowHeight } = shapeOf({ ...image, width: 1440 - 32 });
  expect(perRow * Math.floor((900 - 230) / rowHeight)).toBeGreaterThanOrEqual(24);
});

test("a phone shows one or two cards a row", () => {
  for (const size of [SIZES.least, SIZES.usual, SIZES.most]) {
    expect([1, 2]).toContain(shapeOf({ ...image, size, width: 336 }).perRow);
  }
});

test("columns of a table fit into its width", () => {
  const features = Array.from({ length: 40 }, (_, number) => `f${number}`);
  const wide = shapeOf({ modality: "tabular", features, size: 0, width: 1400 });
  expect(wide.columns.length).toBeGreaterThan(6);
  expect(shapeOf({ modality: "tabular", features, size: 0, width: 330 }).isStacked).toBe(true);
});

test("where nothing was trained here, a row shows what the model said", () => {
  for (const modality of ["predictions", "trace"]) {
    const shape = shapeOf({ modality, features: ["pred_probs"], size: 0, width: 1400 });
    expect([shape.saysClass, shape.columns]).toEqual([true, []]);
  }
});
