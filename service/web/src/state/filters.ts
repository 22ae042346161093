// Which part of a ranking is shown, and in which order: as the address says it, and as the API is asked for it.

import type { SuspectQuery } from "$/api/suspects";
import type { Review } from "$/api/types";

export interface Filters {
  by: string;
  label?: string;
  suggested?: string;
  verdict?: SuspectQuery["verdict"];
  decision?: SuspectQuery["decision"];
  reviewed?: boolean;
  disagrees?: boolean;
  min_confidence?: number;
  min_score?: number;
  q?: string;
  /** Ids between commas: samples that were chosen elsewhere, as on the map. */
  ids?: string;
  /** A polygon that was drawn on the map. */
  region?: string;
  /** One of both parts of each label. */
  part?: SuspectQuery["part"];
}

/** Names of the filters in the address. `by` is the order, and filters nothing. */
export const FILTERS = [
  "verdict",
  "label",
  "suggested",
  "decision",
  "reviewed",
  "disagrees",
  "min_confidence",
  "min_score",
  "q",
  "ids",
  "region",
  "part",
] as const satisfies (keyof Filters)[];

export type FilterName = (typeof FILTERS)[number];

/** What the parameters of an address say; what is no filter, or no value of one, is left out. */
export function readFilters(query: URLSearchParams): Filters {
  const text = (name: string): string | undefined => query.get(name) || undefined;
  const number = (name: string): number | undefined => {
    const given = text(name);
    const value = Number(given);
    return given === undefined || !Number.isFinite(value) ? undefined : value;
  };
  const either = (name: string): boolean | undefined =>
    ({ true: true, false: false })[text(name) ?? ""] as boolean | undefined;
  const one = <T extends string>(name: string, of: readonly T[]): T | undefined => {
    const given = text(name);
    return of.find((word) => word === given);
  };
  const found: Filters = {
    by: text("by") ?? "mislabeled",
    label: text("label"),
    suggested: text("suggested"),
    verdict: one("verdict", ["mislabeled", "anomalous", "clean", "not_judged"] as const) as Filters["verdict"],
    decision: one("decision", ["relabel", "keep", "remove", "plausible", "unsure"] as const),
    reviewed: either("reviewed"),
    disagrees: either("disagrees"),
    min_confidence: number("min_confidence"),
    min_score: number("min_score"),
    q: text("q"),
    ids: text("ids"),
    region: text("region"),
    part: one("part", ["tighter", "looser"] as const),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as unknown as Filters;
}

/** Whether a sample that passed stays in the list once this review holds of it. */
export function passes(filters: Filters, review: Pick<Review, "decision"> | null): boolean {
  if (filters.reviewed !== undefined && filters.reviewed !== (review !== null)) return false;
  return filters.decision === undefined || filters.decision === review?.decision;
}

/** Whether reviews change what the filters let through. */
export const turnsOnReviews = (filters: Filters): boolean =>
  filters.reviewed !== undefined || filters.decision !== undefined;
