// A dataset as a file: as CSV where it cannot be had in the form that it came in.

import { Refused } from "$/api/client";
import { save } from "$/api/files";
import { toasts } from "./toasts.svelte";

// Forms of our own that can tell what a label was before, and who reviewed it.
const TELLING: ReadonlySet<string> = new Set(["csv", "parquet", "jsonl"]);

/** Saves a dataset; `tells` adds what was changed where the form has room for it. Where it is CSV instead of the form that it
 * came in, that is said, and the reason is given. */
export async function saveDataset(id: string, form = "original", tells = false): Promise<string | undefined> {
  const added = (one: string): string => (tells && TELLING.has(one) ? "&columns=previous_label,reviewed_by" : "");
  const as = (one: string): Promise<void> => save(`/datasets/${id}/download?format=${one}${added(one)}`);
  try {
    await as(form);
    return undefined;
  } catch (error) {
    const why = form === "original" ? withoutOwnForm(error) : undefined;
    if (why === undefined) throw error;
    await as("csv");
    toasts.say(`The file is CSV, because ${why}.`);
    return why;
  }
}

/** Of a refusal, why the form that a dataset came in cannot be written; undefined of other errors, and where CSV cannot either. */
function withoutOwnForm(error: unknown): string | undefined {
  if (!(error instanceof Refused) || error.status !== 409) return undefined;
  const { formats, detail } = error.problem;
  return Array.isArray(formats) && formats.includes("csv") ? detail.split("; ")[0] : undefined;
}
