import { describe, expect, it } from "vitest";
import { valueText } from "./values";

describe("values of samples", () => {
  it.each([
    [12484.51, "12484.51"],
    [2526610, "2526610"],
    [52.50368, "52.50368"],
    [2002, "2002"],
    [0.1 + 0.2, "0.3"],
    [-1e-9, "-1e-9"],
    ["2023-04-11T00:00:00", "2023-04-11"],
    ["2023-04-11T07:05:00", "2023-04-11 07:05:00"],
    ["2023-04-11T07:05:00.250000", "2023-04-11 07:05:00.250000"],
    ["the 2023-04-11T00:00:00", "the 2023-04-11T00:00:00"],
    [true, "yes"],
    ["", "–"],
    [null, "–"],
  ])("%j is as in the file: %s", (value, text) => expect(valueText(value)).toBe(text));

  it("a vector is its first numbers, shortened", () =>
    expect(valueText([0.123456, 1, 2, 3, 4, 5, 6])).toBe("0.123, 1, 2, 3, 4, 5, … (7)"));
});
