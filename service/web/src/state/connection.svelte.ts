// Whether the service can be reached, and whether it asked for a key or a sign-in.

const RETRY_MS = 2_000;

class Connection {
  keyWanted = $state(false);
  /** The key was let in before, and no longer is. */
  hasKeyEnded = $state(false);
  /** The service has never let this key in. */
  isKeyUnknown = $state(false);
  isLost = $state(false);
  #retrying: ReturnType<typeof setInterval> | undefined;
  #waiting: ((isIn: boolean) => void)[] = [];
  #away: (() => void)[] = [];

  constructor() {
    addEventListener("online", () => this.isLost && void this.#look());
  }

  /** Asks for a key or a sign-in, and tells in the end whether there was one. */
  ask(): Promise<boolean> {
    this.keyWanted = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The person is let in, or does not want to be. */
  answered(isIn: boolean): void {
    this.keyWanted = false;
    this.hasKeyEnded = this.isKeyUnknown = false;
    for (const tell of this.#waiting.splice(0)) tell(isIn);
  }

  reached(): void {
    this.isLost = false;
    clearInterval(this.#retrying);
    this.#retrying = undefined;
    for (const tell of this.#away.splice(0)) tell();
  }

  /** Resolves when the service answers again. */
  back(): Promise<void> {
    return this.isLost ? new Promise((resolve) => this.#away.push(resolve)) : Promise.resolve();
  }

  /** Says so at once, and asks until the service answers again. */
  lost(): void {
    this.isLost = true;
    this.#retrying ??= setInterval(() => void this.#look(), RETRY_MS);
  }

  async #look(): Promise<void> {
    const answer = await fetch("/healthz").catch(() => undefined);
    if (answer?.ok) this.reached();
  }
}

export const connection = new Connection();
