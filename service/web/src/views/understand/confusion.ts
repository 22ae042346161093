// Order of classes in which those that are confused with each other stand together.

export interface Pair {
  given: string;
  suggested: string;
  count: number;
}

/** Classes are joined by how much of them is confused, the closest first, like leaves of a tree; others keep their order. */
export function ordered(classes: { label: string; samples: number }[], pairs: Pair[]): string[] {
  const place = new Map(classes.map(({ label }, index) => [label, index]));
  const size = classes.length;
  const link = new Float64Array(size * size);
  for (const { given, suggested, count } of pairs) {
    const [row, column] = [place.get(given), place.get(suggested)];
    if (row === undefined || column === undefined) continue;
    const weight = count / Math.sqrt((classes[row]?.samples || 1) * (classes[column]?.samples || 1));
    for (const cell of [row * size + column, column * size + row]) link[cell] = (link[cell] ?? 0) + weight;
  }
  const linked = (one: number, other: number): number => link[one * size + other] ?? 0;
  const between = (one: number[], other: number[]): number => {
    let sum = 0;
    for (const a of one) for (const b of other) sum += linked(a, b);
    return sum / (one.length * other.length);
  };
  let chains = classes.map((_, index) => [index]);
  const near = chains.map((one) => chains.map((other) => (one === other ? 0 : between(one, other))));
  while (chains.length > 1) {
    let [best, first, second] = [0, -1, -1];
    for (let a = 0; a < chains.length; a++)
      for (let b = a + 1; b < chains.length; b++) {
        const value = near[a]?.[b] ?? 0;
        if (value > best) [best, first, second] = [value, a, b];
      }
    if (first < 0) break;
    const [one, other] = [chains[first] ?? [], chains[second] ?? []];
    const joined = turned(one, other, linked);
    // Mean of the means, by size: what `between` would compute of the joined chain.
    const merged = near.map(
      (row) => ((row[first] ?? 0) * one.length + (row[second] ?? 0) * other.length) / joined.length,
    );
    merged[first] = 0;
    near.forEach((row, index) => {
      row[first] = merged[index] ?? 0;
      row.splice(second, 1);
    });
    merged.splice(second, 1);
    near.splice(second, 1);
    near[first] = merged;
    chains = chains.map((chain, index) => (index === first ? joined : chain)).filter((_, index) => index !== second);
  }
  return chains.flat().map((index) => classes[index]?.label ?? "");
}

/** Both chains as one, each the way round in which the ends that meet are confused most. */
function turned(one: number[], other: number[], linked: (a: number, b: number) => number): number[] {
  const ways = [
    [one, other],
    [one.toReversed(), other],
    [one, other.toReversed()],
    [one.toReversed(), other.toReversed()],
  ] as const;
  let best: readonly [number[], number[]] = ways[0];
  let most = -1;
  for (const way of ways) {
    const value = linked(way[0].at(-1) ?? 0, way[1][0] ?? 0);
    if (value > most) [best, most] = [way, value];
  }
  return [...best[0], ...best[1]];
}
