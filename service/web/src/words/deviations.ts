// How a value stands out among those of a class: its quantile for numbers, its rarity for everything else.

import { percent, short } from "./numbers";

/** Values of one feature in one class. */
export type FeatureProfile =
  | { kind: "numeric"; levels: number[]; quantiles: number[]; samples: number }
  | { kind: "categorical"; shares: Record<string, number>; other: number; samples: number };

/** By class, then by feature. */
export type Profile = Record<string, Record<string, FeatureProfile | undefined> | undefined>;

export interface Deviation {
  /** 1 unusual, 2 very unusual. */
  strength: 1 | 2;
  /** In words, for the tooltip. */
  text: string;
}

// Samples of a class below which nothing is called rare, as in reports (service/report/deviations.py).
const FEWEST = 30;
// As rare as 1 in 20, and 1 in 100.
const RARE = 0.05;
const VERY_RARE = 0.01;

/** How a value of a sample deviates from the samples with the same label; null where it does not, or too little is known. */
export function deviation(
  profile: FeatureProfile | undefined,
  value: unknown,
  label: string,
  feature: string,
): Deviation | null {
  if (!profile || profile.samples < FEWEST || value === null || value === undefined) return null;
  if (profile.kind === "numeric") return typeof value === "number" ? numeric(profile, value, label, feature) : null;
  const share = profile.shares[String(value)] ?? (profile.other > 0 ? Math.min(profile.other, 1 / profile.samples) : 0);
  if (share > RARE) return null;
  return {
    strength: share <= VERY_RARE ? 2 : 1,
    text:
      share === 0
        ? `No other sample labelled ${label} has ${feature} = ${String(value)}`
        : `Only ${percent(share, share < 0.01 ? 1 : 0)} of those labelled ${label} have ${feature} = ${String(value)}`,
  };
}

function numeric(
  { levels, quantiles }: { levels: number[]; quantiles: number[] },
  value: number,
  label: string,
  feature: string,
): Deviation | null {
  const [low, high] = [quantiles[0], quantiles.at(-1)];
  if (low === undefined || high === undefined || low === high) return null;
  const below = shareBelow(levels, quantiles, value);
  const tail = Math.min(below.upTo, 1 - below.under);
  if (tail > RARE) return null;
  const isHigh = 1 - below.under <= below.upTo;
  // The sample itself is one of them.
  const others = tail <= 0 ? "all others" : `${percent(1 - tail, tail < 0.01 ? 1 : 0)} of those`;
  return {
    strength: tail <= VERY_RARE ? 2 : 1,
    text: `${feature} ${short(value)} is ${isHigh ? "higher" : "lower"} than in ${others} labelled ${label}`,
  };
}

/** Shares of a distribution that are below a value, and at most it. */
function shareBelow(levels: number[], quantiles: number[], value: number): { under: number; upTo: number } {
  let [under, upTo] = [0, 0];
  for (let place = 0; place < quantiles.length; place++) {
    const [here, level] = [quantiles[place] as number, levels[place] as number];
    if (here < value) under = level;
    if (here <= value) upTo = level;
    else if (place > 0) {
      const before = quantiles[place - 1] as number;
      const share = before < value ? (value - before) / (here - before) : 0;
      const between = (levels[place - 1] as number) + share * (level - (levels[place - 1] as number));
      if (before < value) [under, upTo] = [between, between];
      break;
    } else break;
  }
  return { under: Math.min(under, upTo), upTo };
}
