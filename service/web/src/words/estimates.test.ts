import { expect, test } from "vitest";
import { mislabeledWords, withoutCodes } from "./estimates";

test("an estimate says what it is worth", () => {
  expect(mislabeledWords({ status: "rough", count: 89, low: 60, high: 120 })).toBe(
    "About 89 look mislabeled (60 to 120)",
  );
  expect(mislabeledWords({ status: "measured", count: 1200, low: 1100.4, high: 1300 })).toBe(
    "1,100 to 1,300 labels are wrong, measured",
  );
  const exact = (number: number): string =>
    mislabeledWords({ status: "measured", count: number, low: number, high: number });
  expect([0, 1, 12].map(exact)).toEqual([
    "No label is wrong, measured",
    "1 label is wrong, measured",
    "12 labels are wrong, measured",
  ]);
  expect(mislabeledWords({ status: "unknown", count: 0, low: 0, high: 700 })).toBe(
    "Cannot tell how many are mislabeled",
  );
});

test("nothing found says what may still be there", () => {
  expect(mislabeledWords({ status: "rough", count: 0, low: 0, high: 34 })).toBe("None surely mislabeled (0 to 34)");
  expect(mislabeledWords({ status: "rough", count: 0, low: 0, high: 0 })).toBe("None looks mislabeled");
});

test("advice names models as people do", () => {
  expect(withoutCodes("or try a better model, such as Pretrained network for images (pretrained_image).")).toBe(
    "or try a better model, such as Pretrained network for images.",
  );
  expect(withoutCodes("About 9 (3 to 20) are wrong (see Verify)")).toBe("About 9 (3 to 20) are wrong (see Verify)");
});
