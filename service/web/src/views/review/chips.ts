// Filters as chips: what each lets through, in words.

import type { FilterName, Filters } from "$/state/filters";
import { HALVES } from "$/words/groups";
import { counted, percent, short } from "$/words/numbers";
import { DECISIONS, VERDICTS } from "$/words/verdicts";

export interface Chip {
  name: FilterName;
  text: string;
}

/** The filters of a list, in the order in which people name them. `isTold`: whether how sure a suggestion is may be named. */
export function chipsOf(filters: Filters, isTold: boolean): Chip[] {
  const words: Partial<Record<FilterName, string | null | undefined>> = {
    verdict: filters.verdict && VERDICTS[filters.verdict]?.title,
    label: filters.label && `Labelled ${filters.label}`,
    suggested: filters.suggested && `Suggested ${filters.suggested}`,
    decision: filters.decision && DECISIONS[filters.decision]?.title,
    reviewed: { true: "Reviewed", false: "Not reviewed yet" }[String(filters.reviewed)],
    disagrees: { true: "Suggestion differs", false: "Suggestion agrees" }[String(filters.disagrees)],
    min_confidence:
      filters.min_confidence === undefined
        ? undefined
        : isTold
          ? `At least ${percent(filters.min_confidence)} sure`
          : "Surer suggestions",
    min_score: filters.min_score === undefined ? undefined : `Score at least ${short(filters.min_score)}`,
    q: filters.q && `“${filters.q}”`,
    ids: filters.ids && `${counted(filters.ids.split(",").filter(Boolean).length, "chosen sample")}`,
    region: filters.region && "Drawn on the map",
    part: filters.part && `The ${HALVES[filters.part]} half`,
  };
  return (Object.entries(words) as [FilterName, string | null | undefined][])
    .filter(([, text]) => text)
    .map(([name, text]) => ({ name, text: text as string }));
}
