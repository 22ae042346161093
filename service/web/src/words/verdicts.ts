// Verdicts, decisions and states in the words of the page.

export const VERDICTS: Record<string, { title: string; tone: "wrong" | "odd" | "good" | "plain" }> = {
  mislabeled: { title: "Looks mislabeled", tone: "wrong" },
  anomalous: { title: "Looks unusual", tone: "odd" },
  clean: { title: "Looks fine", tone: "good" },
  not_judged: { title: "Not judged", tone: "plain" },
};

/** What a person may decide of a sample. */
export type Kind = "relabel" | "keep" | "remove" | "plausible" | "unsure";

export const DECISIONS: Record<string, { title: string; tone: "good" | "wrong" | "odd" | "info" }> = {
  keep: { title: "Kept", tone: "good" },
  relabel: { title: "Relabelled", tone: "info" },
  remove: { title: "Removed", tone: "wrong" },
  plausible: { title: "Plausible", tone: "odd" },
  unsure: { title: "Unsure", tone: "odd" },
};

export const STATES: Record<string, { title: string; tone: "info" | "good" | "wrong" | "plain" }> = {
  queued: { title: "Waiting", tone: "plain" },
  preparing: { title: "Preparing", tone: "info" },
  training: { title: "Training", tone: "info" },
  scoring: { title: "Measuring influence", tone: "info" },
  ranking: { title: "Ranking", tone: "info" },
  completed: { title: "Ready", tone: "good" },
  failed: { title: "Failed", tone: "wrong" },
  cancelled: { title: "Cancelled", tone: "plain" },
};

/** "Relabelled to dog", "Kept". */
export const decided = (review: { decision: string; label?: string | null }): string => {
  const title = DECISIONS[review.decision]?.title ?? review.decision;
  return review.label ? `${title} to ${review.label}` : title;
};
