import { expect, test } from "vitest";
import { cornersOf, fitted, nearest, region, simplified, toMap, toScreen, zoomed, type Point } from "./plane";

const xs = Array.from({ length: 1_000 }, (_, place) => Math.sin(place) * 2);
const ys = Array.from({ length: 1_000 }, (_, place) => Math.cos(place * 1.3));

test("a fitted view shows the samples and is not spoilt by a far one", () => {
  const view = fitted([...xs, 1e6], [...ys, 1e6], 800, 600);
  const [x, y] = toScreen([2, 1], view);
  expect(x).toBeGreaterThan(400);
  expect(x).toBeLessThan(800);
  expect(y).toBeGreaterThan(0);
  expect(y).toBeLessThan(300);
});

test("a place on the screen leads back to its place on the map, after zooming too", () => {
  const view = zoomed(fitted(xs, ys, 800, 600), [120, 80], 3);
  const [x, y] = toMap(toScreen([0.7, -0.3], view), view);
  expect(x).toBeCloseTo(0.7);
  expect(y).toBeCloseTo(-0.3);
});

test("zooming leaves what is under the pointer there", () => {
  const view = fitted(xs, ys, 800, 600);
  const [x, y] = toScreen(toMap([200, 150], view), zoomed(view, [200, 150], 2.5));
  expect([x, y].map(Math.round)).toEqual([200, 150]);
});

test("a drawn line keeps its form with few corners", () => {
  const circle = Array.from({ length: 3_000 }, (_, place): Point => {
    const turn = (place / 3_000) * 2 * Math.PI;
    return [300 + 200 * Math.cos(turn), 300 + 200 * Math.sin(turn)];
  });
  const found = simplified(circle);
  expect(found.length).toBeLessThanOrEqual(80);
  expect(found.length).toBeGreaterThan(12);
  for (const [x, y] of found) expect(Math.hypot(x - 300, y - 300)).toBeCloseTo(200, 6);
});

test("a region is read as it was written, on its own map alone", () => {
  const text = region(
    "pca",
    [
      [0.12345678, 1],
      [2, -3],
      [0, 0],
    ],
    500,
  );
  expect(text).toBe("pca:0.1235,1;2,-3;0,0");
  expect(cornersOf(text, "pca")).toEqual([
    [0.1235, 1],
    [2, -3],
    [0, 0],
  ]);
  expect(cornersOf(text, "umap")).toEqual([]);
});

test("the nearest sample is found within reach", () => {
  const view = fitted(xs, ys, 800, 600);
  const [x, y] = toScreen([xs[17] ?? 0, ys[17] ?? 0], view);
  expect(nearest(xs, ys, view, [x + 0.2, y])).toBe(17);
  expect(nearest(xs, ys, view, [-500, -500])).toBe(-1);
});
