// Groups that stand apart, in words.

/** How clearly a group stands apart: `gap` is near 1 for two clusters and 0.6 for one that is cut in two. */
export function apartness(gap: number): string {
  if (gap >= 0.85) return "clearly apart";
  return gap >= 0.75 ? "apart" : "slightly apart";
}

/** What the samples of a part are like, beside those of the other part. */
export const HALVES = { tighter: "more alike", looser: "more varied" } as const;

interface Leaning {
  leans_to: string | null;
  lean: number;
}
const LEANS = 0.5;
const ALIKE = 0.1;

/** "leans to “bag”": where a half lies. Where classes overlap, both halves do, and it says nothing of either. */
export function leaning(half: Leaning, other: Leaning | undefined): string {
  if (half.leans_to === null) return "no other label is near";
  const both = half.leans_to === other?.leans_to && Math.abs(half.lean - other.lean) < ALIKE;
  return `${half.lean < LEANS ? "leans a little to" : "leans to"} “${half.leans_to}”${both ? ", as the other does" : ""}`;
}

/** The label that a half leans to, clearly more than the other half leans to one; null where there is none. */
export const nearLabel = (half: Leaning, other: Leaning | undefined): string | null =>
  half.lean >= LEANS && half.lean - (other?.lean ?? 0) >= ALIKE ? half.leans_to : null;

const DECIDED: Record<string, string> = {
  keep: "Kept",
  remove: "To be removed",
  plausible: "Plausible",
  unsure: "Unsure",
};

/** "Relabelled to boot", "Kept": the decision that all samples share; "3 of 12 decided" where they do not.
 *  `size` is larger than the number of ids where these are only the most typical samples. */
export function decisionOfGroup(
  ids: readonly string[],
  decided: { get: (id: string) => { decision: string; label?: string | null } | undefined },
  size = ids.length,
): string | undefined {
  const said = ids.flatMap((id) => decided.get(id) ?? []);
  if (said.length === 0) return undefined;
  const words = new Set(
    said.map(({ decision, label }) =>
      decision === "relabel" ? `Relabelled to ${label}` : (DECIDED[decision] ?? decision),
    ),
  );
  const [only] = words;
  const among = size > ids.length ? `the ${ids.length} most typical` : String(ids.length);
  return said.length === ids.length && words.size === 1 ? only : `${said.length} of ${among} decided`;
}
