// What an audit has measured, in words: how many labels are wrong, and whether reviewing may stop.

import { count, counted } from "./numbers";

export type GoalKind = "measure" | "recall" | "remaining" | "accept";

export interface Goal {
  kind: GoalKind;
  /** In percent; measuring has none. */
  percent: number;
}

interface Measured {
  samples: number;
  found: number;
  unsure: number;
  wrong: { estimate: number | null; low: number; high: number };
  reviewed: { drawn: number; other: number };
  recall_at_least: number | null;
}

interface Stop {
  reached: boolean;
  refused: boolean;
  expected_more_reviews: number | null;
}

/** The number that a goal starts with, in percent. */
export const USUAL: Record<GoalKind, number> = { measure: 0, recall: 90, remaining: 1, accept: 1 };
export const KINDS: GoalKind[] = ["measure", "recall", "remaining", "accept"];
const LEAST = 0.01;
const MOST = 100;
const NEARLY_ALL = 0.9;

/** Reads a goal as addresses and the API have it, "recall:0.9"; what is none is to measure. */
export function goalOf(text: string | null | undefined): Goal {
  const [kind, share] = (text ?? "").split(":");
  const known = KINDS.find((one) => one === kind);
  if (!known || known === "measure") return { kind: "measure", percent: 0 };
  return { kind: known, percent: allowed(Number(share) * 100, known) };
}

export const goalText = ({ kind, percent }: Goal): string =>
  kind === "measure" ? kind : `${kind}:${tidy(percent / 100)}`;

/** A percentage that a goal may have. */
export const allowed = (percent: number, kind: GoalKind): number =>
  Number.isFinite(percent) && percent > 0 ? tidy(Math.min(MOST, Math.max(LEAST, percent))) : USUAL[kind];

// 0.29 * 100 is 28.999999999999996.
const tidy = (value: number): number => Number(value.toPrecision(6));

/** A goal as a person would choose it. */
export function goalTitle({ kind, percent }: Goal): string {
  const share = `${percent} %`;
  return {
    measure: "Measure how many are wrong",
    recall: `Find at least ${share} of the wrong ones`,
    remaining: `At most ${share} of the rest wrong`,
    accept: `Accept if at most ${share} is wrong`,
  }[kind];
}

// A bound is never rounded to the better side.
const atLeast = (share: number): string => `${Math.floor(share * 100 + 1e-9)} %`;

const left = ({ samples, reviewed }: Measured): number => samples - reviewed.drawn - reviewed.other;

export const isMeasured = (audit: Measured): boolean => audit.wrong.estimate !== null || left(audit) === 0;

/** "86 wrong labels found; between 96 and 131 in all; you have found at least 71 %." */
export function answerWords(audit: Measured): string {
  const { found, samples, wrong, recall_at_least: recall } = audit;
  const said = `${counted(found, "wrong label")} found`;
  if (left(audit) === 0)
    return `Every label was reviewed: ${found === 1 ? "1 is" : `${found ? count(found) : "none"} ${found ? "are" : "is"}`} wrong of ${count(samples)}.`;
  if (!isMeasured(audit)) return found ? `${said} so far. How many there are in all is not measured yet.` : "";
  const { low, high } = wrong;
  const all = low === high ? `${count(low)} in all` : `between ${count(low)} and ${count(high)} in all`;
  if (high === 0) return "No label is wrong.";
  if (recall === null || recall < 0.01) return `${said}; ${all}.`;
  return recall === 1 ? `${said}: all there are.` : `${said}; ${all}; you have found at least ${atLeast(recall)}.`;
}

/** "About 140 more reviews to be sure of 90 %."; nothing once the goal is reached. */
export function moreWords({ kind, percent }: Goal, stop: Stop, audit: Measured): string {
  const more = stop.expected_more_reviews;
  if (stop.reached || stop.refused) return "";
  if (more === null) return "More reviews are not expected to reach this goal.";
  if (more > NEARLY_ALL * left(audit)) return "This goal takes reviews of nearly all labels.";
  const about = `About ${counted(roughly(more), "more review")}`;
  return {
    measure: `${about} until the range is narrow.`,
    recall: `${about} to be sure of ${percent} %.`,
    remaining: `${about} to be sure that at most ${percent} % of the rest is wrong.`,
    accept: `${about} to decide.`,
  }[kind];
}

/** A number of reviews to come: an expectation of 143 says more than it knows. */
export function roughly(value: number): number {
  const step = value < 20 ? 1 : value < 200 ? 10 : value < 2_000 ? 50 : 500;
  return Math.ceil(value / step) * step;
}

export interface Advice {
  tone: "good" | "wrong";
  title: string;
  text: string;
}

/** Whether reviewing may stop, and what that says of the labels; nothing while it may not. */
export function adviceOf({ kind, percent }: Goal, stop: Stop): Advice | undefined {
  const share = `${percent} %`;
  if (stop.refused)
    return { tone: "wrong", title: `More than ${share} is wrong: refuse`, text: "More reviews will not change this." };
  if (!stop.reached) return undefined;
  return {
    tone: "good",
    title: kind === "accept" ? `At most ${share} is wrong: accept` : "You may stop",
    text: {
      measure: "The number of wrong labels is known well enough.",
      recall: `At least ${share} of the wrong labels are found.`,
      remaining: `Of the labels that nobody reviewed, at most ${share} is wrong.`,
      accept: "You may stop.",
    }[kind],
  };
}

/** What the numbers rest on: "Rests on 60 of 72 reviews, drawn by chance." */
export function basis({ reviewed: { drawn, other }, unsure }: Measured): string {
  const all = drawn + other;
  const rests = other
    ? `Rests on ${count(drawn)} of ${counted(all, "review")}: those of samples drawn by chance.`
    : `Rests on ${counted(all, "review")} of samples drawn by chance.`;
  return unsure ? `${rests} ${count(unsure)} unsure ${unsure === 1 ? "counts" : "count"} as not wrong.` : rests;
}

/** What somebody said of a label: "relabel to cat". */
export function decisionWords({ decision, label }: { decision: string; label: string | null }): string {
  const words: Record<string, string> = {
    keep: "right as it is",
    relabel: `is ${label ?? "another class"}`,
    remove: "remove it",
    plausible: "plausible",
    unsure: "unsure",
    withdraw: "no decision",
  };
  return words[decision] ?? decision;
}

/** A text in parts: every other one is a number. */
export const numbersIn = (text: string): string[] => text.split(/(\d(?:[\d.,\u00a0\u202f’]*\d)?(?: %)?)/);
