// Cut-offs of a ranking on a histogram of its scores.

import type { CutOff } from "$/api/overviews";

/** Place of the cut-off that flags nearest to `flagged` samples. */
export function nearestByCount(cuts: CutOff[], flagged: number): number {
  return nearest(cuts.length, (place) => Math.abs((cuts[place]?.flagged ?? 0) - flagged));
}

/** Place of the cut-off whose score is nearest. */
export function nearestByScore(cuts: CutOff[], score: number): number {
  return nearest(cuts.length, (place) => Math.abs((cuts[place]?.score ?? 0) - score));
}

function nearest(length: number, distance: (place: number) => number): number {
  let best = 0;
  for (let place = 1; place < length; place++) if (distance(place) < distance(best)) best = place;
  return best;
}

/** Place that a key moves to: arrows one cut-off, Page keys ten, Home and End to the ends; undefined for other keys. */
export function moved(key: string, place: number, length: number): number | undefined {
  // To the right are higher scores: fewer samples, which come first in the list.
  const steps: Record<string, number> = {
    ArrowRight: place - 1,
    ArrowUp: place - 1,
    ArrowLeft: place + 1,
    ArrowDown: place + 1,
    PageUp: place - 10,
    PageDown: place + 10,
    End: 0,
    Home: length - 1,
  };
  const wanted = steps[key];
  return wanted === undefined ? undefined : Math.min(length - 1, Math.max(0, wanted));
}
