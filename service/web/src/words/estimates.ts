// How many samples are wrong, in words.

import type { Job } from "$/api/types";
import { count } from "./numbers";

type Estimates = NonNullable<Job["result"]>["estimates"];
export interface Estimate {
  status: "measured" | "rough" | "unknown";
  count: number;
  low?: number | null;
  high?: number | null;
  reason?: string | null;
}

/** What the service says, without the names that its API gives to models: "such as TabM (tabm)". */
export const withoutCodes = (text: string): string => text.replace(/ \([a-z\d]+(?:_[a-z\d]+)*\)/g, "");

/** The estimate of a verdict; jobs of earlier versions have no status. */
export function estimateOf(estimates: Estimates, verdict: "mislabeled" | "anomalous"): Estimate | undefined {
  const found = estimates[verdict];
  return found && { ...found, status: (found as Partial<Estimate>).status ?? "rough" };
}

/** "About 89 look mislabeled (60 to 120)", "Cannot tell how many are mislabeled". */
export function mislabeledWords({ status, count: number, low, high }: Estimate): string {
  if (status === "unknown") return "Cannot tell how many are mislabeled";
  const interval = low === null || low === undefined || high === null || high === undefined ? "" : between(low, high);
  if (!number) return high ? `None surely mislabeled${interval}` : "None looks mislabeled";
  return status === "measured"
    ? `${count(number)} mislabeled, as measured${interval}`
    : `About ${count(number)} look mislabeled${interval}`;
}

const between = (low: number, high: number): string => ` (${count(Math.round(low))} to ${count(Math.round(high))})`;
