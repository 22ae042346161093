// A map on a screen: which part of it is seen, what a line around samples encloses.

export type Point = readonly [x: number, y: number];

/** Pixels of a place: `x * scale + left`, `top - y * scale`. */
export interface View {
  scale: number;
  left: number;
  top: number;
}

export const toScreen = ([x, y]: Point, { scale, left, top }: View): Point => [x * scale + left, top - y * scale];
export const toMap = ([x, y]: Point, { scale, left, top }: View): Point => [(x - left) / scale, (top - y) / scale];

const MARGIN = 24;

/** The view that has all but a few far samples, which would make the rest a dot. */
export function fitted(xs: number[], ys: number[], width: number, height: number): View {
  const [left, right] = middle(xs);
  const [low, high] = middle(ys);
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (high - low || 1));
  return { scale, left: width / 2 - (scale * (left + right)) / 2, top: height / 2 + (scale * (low + high)) / 2 };
}

function middle(values: number[]): [number, number] {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(0.005), at(0.995)];
  const room = (high - low) * 0.05;
  return [low - room, high + room];
}

/** The same place under the pointer, `factor` times as large. */
export function zoomed({ scale, left, top }: View, [x, y]: Point, factor: number): View {
  const next = Math.min(1e6, Math.max(1e-3, scale * factor));
  const by = next / scale;
  return { scale: next, left: x - (x - left) * by, top: y - (y - top) * by };
}

const MOST_CORNERS = 80;

/** A drawn line with few corners: those that it can do least without. Douglas and Peucker's way, until few are left. */
export function simplified(line: Point[], tolerance = 1): Point[] {
  let [found, reach] = [line, tolerance];
  do {
    found = peucker(line, reach);
    reach *= 1.5;
  } while (found.length > MOST_CORNERS);
  return found;
}

function peucker(line: Point[], tolerance: number): Point[] {
  const [first, last] = [line[0], line.at(-1)];
  if (!first || !last || line.length < 3) return line;
  let [far, most] = [0, 0];
  line.forEach((point, place) => {
    const distance = fromSegment(point, first, last);
    if (distance > most) [far, most] = [place, distance];
  });
  if (most <= tolerance) return [first, last];
  return [...peucker(line.slice(0, far + 1), tolerance).slice(0, -1), ...peucker(line.slice(far), tolerance)];
}

function fromSegment([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/** The `region` of the API: the name of the map and the corners. */
export const region = (method: string, corners: Point[], scale: number): string => {
  // Half a pixel decides nothing.
  const digits = Math.min(6, Math.max(1, Math.ceil(Math.log10(scale)) + 1));
  const shown = (value: number): string => String(Number(value.toFixed(digits)));
  return `${method}:${corners.map(([x, y]) => `${shown(x)},${shown(y)}`).join(";")}`;
};

/** The corners of a region on this map; none for one on another map. */
export function cornersOf(text: string | null, method: string): Point[] {
  if (!text?.startsWith(`${method}:`)) return [];
  return text
    .slice(method.length + 1)
    .split(";")
    .map((corner) => corner.split(",").map(Number))
    .filter((corner) => corner.length === 2 && corner.every(Number.isFinite))
    .map(([x = 0, y = 0]) => [x, y]);
}

/** Place of the nearest sample within `reach` pixels; -1 for none. */
export function nearest(xs: number[], ys: number[], view: View, at: Point, reach = 10): number {
  let [best, least] = [-1, reach * reach];
  for (let place = 0; place < xs.length; place++) {
    const dx = (xs[place] ?? 0) * view.scale + view.left - at[0];
    const dy = view.top - (ys[place] ?? 0) * view.scale - at[1];
    const distance = dx * dx + dy * dy;
    if (distance < least) [best, least] = [place, distance];
  }
  return best;
}
