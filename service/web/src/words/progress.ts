// Progress of a job in words.

import type { Job } from "$/api/types";
import { percent } from "./numbers";
import { duration } from "./times";
import { STATES } from "./verdicts";

// Details of the worker that say the same as the phase, or what only its authors understand.
const DETAILS: Record<string, string> = {
  "measuring influence": "",
  "waiting for a worker": "",
  "running the checkpoints over every sample": "running the model over every sample",
};

/** "Epoch 4 of 10". */
export function detailOf({ detail }: Job["progress"]): string {
  const said = (DETAILS[detail] ?? detail).replace(/\b(\d+)\/(\d+)/, "$1 of $2");
  return said && said.charAt(0).toUpperCase() + said.slice(1);
}

/** "about 40 s left". */
export const timeLeft = ({ eta_seconds: seconds }: Job["progress"]): string =>
  seconds ? `about ${duration(seconds)} left` : "";

/** "Training, 42 %, epoch 4 of 10, about 40 s left". */
export const progressOf = ({ state, progress }: Pick<Job, "state" | "progress">): string =>
  [STATES[state]?.title ?? state, percent(progress.fraction), detailOf(progress).toLowerCase(), timeLeft(progress)]
    .filter(Boolean)
    .join(", ");
