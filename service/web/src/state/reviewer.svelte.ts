// Who reviews in this browser: the person who has signed in; else asked once, at the first decision, and sent with each.

import { session } from "./session.svelte";

const KEY = "reviewer";
const ASKED = "reviewer-asked";

class Reviewer {
  #said = $state(localStorage.getItem(KEY) ?? "");
  isAsking = $state(false);
  #answered: (() => void)[] = [];

  get name(): string {
    return session.name || this.#said;
  }

  /** Resolves when the person has said who they are, or that they will not. */
  known(): Promise<void> {
    if (this.name || localStorage.getItem(ASKED)) return Promise.resolve();
    this.isAsking = true;
    return new Promise((resolve) => this.#answered.push(resolve));
  }

  /** Nobody who has signed in is asked: their name is known. */
  ask(): void {
    this.isAsking = !session.name;
  }

  /** An empty name is none. */
  answer(name: string): void {
    this.#said = name.trim();
    localStorage.setItem(ASKED, "yes");
    if (this.#said) localStorage.setItem(KEY, this.#said);
    else localStorage.removeItem(KEY);
    this.isAsking = false;
    for (const resolve of this.#answered.splice(0)) resolve();
  }
}

export const reviewer = new Reviewer();
