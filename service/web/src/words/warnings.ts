// Warnings of a ranking: their titles, and what one click does about them.

export interface Cure {
  kind: "verify" | "review" | "groups" | "rerun" | "rerun_with_model";
  label: string;
  changes?: Record<string, unknown> | null;
}

interface Told {
  code: string;
  detail: string;
  title?: string;
  action?: Cure | null;
}

const VERIFY: Cure = { kind: "verify", label: "Verify 50 samples" };
const CURES: Record<string, Cure> = {
  no_trusted_reference: VERIFY,
  small_trusted_reference: { kind: "verify", label: "Verify more samples" },
  rough_estimate: VERIFY,
};

/** The title of a warning; of one without, the first sentence of its detail. */
export const titleOf = ({ title, detail }: Told): string => title || (detail.match(/^.*?[.:](?=\s|$)/s)?.[0] ?? detail);

/** What mends it: what the service says, or what the page knows of jobs of earlier versions. */
export const cureOf = ({ code, action }: Told): Cure | undefined => action ?? CURES[code];
