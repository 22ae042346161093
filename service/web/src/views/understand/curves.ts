// Precision over recall of several signals on one grid of recalls, for a chart.

import type { DetectionCurve } from "$/api/overviews";

const STEPS = 50;

/** Recalls from 0 to 1, and for each curve the precision of the shortest list that reaches it. */
export function onOneGrid(curves: DetectionCurve[]): (number | null)[][] {
  const recalls = Array.from({ length: STEPS + 1 }, (_, place) => place / STEPS);
  return [
    recalls,
    ...curves.map(({ points }) =>
      recalls.map((recall) => points.find((point) => point.recall >= recall - 1e-9)?.precision ?? null),
    ),
  ];
}
