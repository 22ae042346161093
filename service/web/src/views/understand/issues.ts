// Samples of one kind of problem, as they belong together.

import type { Issue } from "$/api/overviews";

type Sample = Issue["samples"][number];

/** Samples of one group stand together, in the order of the first of each; a sample without a group stands alone. */
export function setsOf(samples: Sample[]): Sample[][] {
  const sets = new Map<number | string, Sample[]>();
  samples.forEach((one, place) => {
    const name = one.group ?? `alone ${place}`;
    sets.set(name, [...(sets.get(name) ?? []), one]);
  });
  return [...sets.values()];
}
