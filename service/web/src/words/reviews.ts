// Reviews in terms of the labels that are shown.

import type { Review } from "$/api/types";
import { counted } from "./numbers";

interface Said {
  decision: "relabel" | "keep" | "remove" | "plausible" | "unsure";
  label: string | null;
  given: string;
  job: string;
  source: string;
  reviewer?: string | null;
  created_at: string;
}

/** A review beside the given label: to relabel to it is to keep it. */
export function restated({ given, ...said }: Said): Review {
  const kept = said.decision === "relabel" && said.label === given;
  return { ...said, ...(kept && { decision: "keep" as const, label: null }), outcome: "pending" };
}

/** "12 of 89 flagged reviewed", and how right the ranking was. */
export function progressOf(summary: {
  flagged: number;
  reviewed: number;
  outcomes: { flagged: Record<string, number | undefined> };
  precision: { decided: number; precision: number | null };
}): { looked: number; flagged: number; others: number; decided: number; share: number | null } {
  const looked = summary.flagged - (summary.outcomes.flagged["pending"] ?? 0);
  return {
    looked,
    flagged: summary.flagged,
    others: summary.reviewed - looked,
    decided: summary.precision.decided,
    share: summary.precision.precision,
  };
}

/** What an undo did not undo: samples that somebody has decided on again since. */
export const leftAsDecided = (count: number): string =>
  `${counted(count, "sample")} ${count === 1 ? "was" : "were"} decided again meanwhile: the later decision stays.`;

type Outcomes = Record<string, number | undefined>;

/** How many samples were relabelled, removed, confirmed and left open, flagged or not. */
export function outcomeCounts({ outcomes }: { outcomes: { flagged: Outcomes; clean: Outcomes } }): {
  relabelled: number;
  removed: number;
  kept: number;
  plausible: number;
  unsure: number;
} {
  const sum = (...names: string[]): number =>
    names.reduce((total, name) => total + (outcomes.flagged[name] ?? 0) + (outcomes.clean[name] ?? 0), 0);
  return {
    relabelled: sum("relabelled_to_suggestion", "relabelled_otherwise"),
    removed: sum("removed"),
    kept: sum("confirmed"),
    plausible: sum("plausible"),
    unsure: sum("unsure"),
  };
}
