// A suspect as a screen reader says it.

import type { Review, Suspect } from "$/api/types";
import { percent } from "$/words/numbers";
import { decided, VERDICTS } from "$/words/verdicts";

export function spoken(suspect: Suspect, review: Review | null): string {
  const differs = suspect.suggested_label !== suspect.given_label;
  return [
    suspect.sample.id,
    `labelled ${suspect.given_label}`,
    differs && `suggested ${suspect.suggested_label}, ${percent(suspect.suggested_confidence)} sure`,
    VERDICTS[suspect.verdict]?.title.toLowerCase(),
    review ? decided(review).toLowerCase() : "not reviewed",
  ]
    .filter(Boolean)
    .join(", ");
}
