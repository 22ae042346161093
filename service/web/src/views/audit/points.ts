// The points of the plot: the range after each of some reviews, the last one as it is now.

interface Moment {
  drawn: number;
  wrong: { estimate: number | null; low: number; high: number };
}

interface Points {
  drawn: number[];
  high: number[];
  low: number[];
  estimate: (number | null)[];
}

/** Those of the history, and what holds now: the history is asked for less often. */
export function pointsOf(
  history: readonly Moment[],
  now: { reviewed: { drawn: number } } & Pick<Moment, "wrong">,
): Points {
  const last = { drawn: now.reviewed.drawn, wrong: now.wrong };
  const all = [...history.filter(({ drawn }) => drawn < last.drawn), ...(last.drawn ? [last] : [])];
  return {
    drawn: all.map(({ drawn }) => drawn),
    high: all.map(({ wrong }) => wrong.high),
    low: all.map(({ wrong }) => wrong.low),
    estimate: all.map(({ wrong: { estimate } }) => estimate && Math.round(estimate * 10) / 10),
  };
}

const SHOWN = 3;

/** Where the plot ends: the first ranges reach over all samples, and would press the last ones flat. */
export function topOf({ high, estimate }: Points): number {
  const [most, now] = [Math.max(1, ...high), high.at(-1) ?? 1];
  const guessed = Math.max(0, ...estimate.slice(-12).map((value) => value ?? 0));
  return Math.min(most, Math.max(1, SHOWN * now, guessed)) * 1.04;
}
