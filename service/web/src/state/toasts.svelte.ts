// Short messages about what was done, with the means to undo it.

import { counted } from "$/words/numbers";

const SHOWN_MS = 6_000;

export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "wrong";
  action?: { title: string; run: () => void };
}

class Toasts {
  shown = $state<Toast[]>([]);
  /** The open dialogs, the newest last. */
  places = $state<string[]>([]);
  #last = 0;

  say(text: string, action?: Toast["action"], tone: Toast["tone"] = "plain"): void {
    const id = ++this.#last;
    // The same message again is the same message, with what it undoes now.
    const others = this.shown.filter((toast) => toast.text !== text || toast.tone !== tone);
    this.shown = [...others.slice(-2), { id, text, tone, action }];
    // An error stays until it is closed: nobody can read it again.
    if (tone !== "wrong") setTimeout(() => this.close(id), SHOWN_MS);
  }

  /** Shows an error in the words of the service. */
  fail(error: unknown): void {
    if (error instanceof DOMException && error.name === "AbortError") return;
    // A lost connection has a line of its own, which goes away by itself.
    if (error instanceof TypeError && /fetch|network/i.test(error.message)) return;
    this.say(error instanceof Error ? error.message : String(error), undefined, "wrong");
  }

  /** Shows that a decision on these samples was not saved, and why. */
  failUnsaved(error: unknown, samples: readonly string[]): void {
    const [first = "all"] = samples;
    const about = samples.length > 1 ? `${first} and ${counted(samples.length - 1, "other")}` : first;
    const why = error instanceof TypeError ? "the service did not answer." : String((error as Error).message);
    this.fail(new Error(`The decision on ${about} was not saved: ${why}`));
  }

  close(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();

/** Does something and shows the error if it fails. */
export function attempt(work: () => Promise<unknown>): void {
  work().catch((error: unknown) => toasts.fail(error));
}
