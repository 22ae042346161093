// Whether the service can be reached, and whether it asked for a key.

const RETRY_MS = 2_000;

class Connection {
  keyWanted = $state(false);
  isLost = $state(false);
  #retrying: ReturnType<typeof setInterval> | undefined;

  reached(): void {
    this.isLost = false;
    clearInterval(this.#retrying);
    this.#retrying = undefined;
  }

  /** Says so at once, and asks until the service answers again. */
  lost(): void {
    this.isLost = true;
    this.#retrying ??= setInterval(() => void this.#ask(), RETRY_MS);
  }

  async #ask(): Promise<void> {
    const answer = await fetch("/healthz").catch(() => undefined);
    if (answer?.ok) this.reached();
  }
}

export const connection = new Connection();
