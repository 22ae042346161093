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

/** "About 89 look mislabeled (60 to 120)", "96 to 131 labels are wrong, measured", "Cannot tell how many are mislabeled". */
export function mislabeledWords({ status, count: number, low, high }: Estimate): string {
  if (status === "unknown") return "Cannot tell how many are mislabeled";
  if (status === "measured") return measuredWords(Math.round(low ?? number), Math.round(high ?? number));
  const interval = low === null || low === undefined || high === null || high === undefined ? "" : between(low, high);
  if (!number) return high ? `None surely mislabeled${interval}` : "None looks mislabeled";
  return `About ${count(number)} look mislabeled${interval}`;
}

function measuredWords(low: number, high: number): string {
  if (low < high) return `${count(low)} to ${count(high)} labels are wrong, measured`;
  if (high === 1) return "1 label is wrong, measured";
  return `${high ? count(high) : "No"} ${high ? "labels are" : "label is"} wrong, measured`;
}

const between = (low: number, high: number): string => ` (${count(Math.round(low))} to ${count(Math.round(high))})`;
