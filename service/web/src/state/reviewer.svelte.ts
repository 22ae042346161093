// Who reviews in this browser: asked once, at the first decision, and sent with each.

const KEY = "reviewer";
const ASKED = "reviewer-asked";

class Reviewer {
  name = $state(localStorage.getItem(KEY) ?? "");
  isAsking = $state(false);
  #answered: (() => void)[] = [];

  /** Resolves when the person has said who they are, or that they will not. */
  known(): Promise<void> {
    if (this.name || localStorage.getItem(ASKED)) return Promise.resolve();
    this.isAsking = true;
    return new Promise((resolve) => this.#answered.push(resolve));
  }

  ask(): void {
    this.isAsking = true;
  }

  /** An empty name is none. */
  answer(name: string): void {
    this.name = name.trim();
    localStorage.setItem(ASKED, "yes");
    if (this.name) localStorage.setItem(KEY, this.name);
    else localStorage.removeItem(KEY);
    this.isAsking = false;
    for (const resolve of this.#answered.splice(0)) resolve();
  }
}

export const reviewer = new Reviewer();
