import { expect, test } from "vitest";
import { LeftRows } from "./leftRows";

test("rows that left keep their places, and those of the service go around them", () => {
  const left = new LeftRows<string>();
  const whole = Array.from({ length: 20 }, (_, place) => `row ${place}`);
  for (const place of [2, 3, 11]) left.set(place, whole[place] as string);
  const service = whole.filter((_, place) => ![2, 3, 11].includes(place));
  for (const start of [0, 5, 10, 15]) {
    const offset = start - left.before(start);
    const limit = 5 - left.within(start, start + 5).length;
    expect(left.merged(service.slice(offset, offset + limit), start, 5)).toEqual(whole.slice(start, start + 5));
  }
});

test("the last page ends where the rows do", () => {
  const left = new LeftRows<string>();
  left.set(1, "b");
  expect(left.merged(["a", "c"], 0, 10)).toEqual(["a", "b", "c"]);
});
