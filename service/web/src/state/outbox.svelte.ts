// Decisions that the service has not saved yet: sent in their order, and again when a lost connection is back. They outlive
// a reload of the page.

import { QUOTA, Refused } from "$/api/client";
import { postReviews, type Decision } from "$/api/reviews";
import { connection } from "./connection.svelte";
import { toasts } from "./toasts.svelte";

interface Unsent {
  job: string;
  decisions: Decision[];
}

const KEY = "unsent";
// What a proxy answers for a service that is away, and the service while its database is.
const AWAY = new Set([502, 503, 504]);
const QUOTA_MS = 5_000;

class Outbox {
  #unsent = $state.raw<Unsent[]>(JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as Unsent[]);
  #sending: Promise<unknown> = Promise.resolve();

  constructor() {
    for (const left of this.#unsent)
      this.#send(left, Promise.resolve()).catch((error: unknown) => toasts.failUnsaved(error, namesIn(left)));
    // They outlive a reload, and not the tab.
    addEventListener("beforeunload", (event) => {
      if (this.waiting) event.preventDefault();
    });
  }

  /** How many decisions wait to be saved. */
  get waiting(): number {
    return this.#unsent.reduce((sum, { decisions }) => sum + decisions.length, 0);
  }

  /** Resolves when everything so far is saved or refused. */
  readonly settled = (): Promise<unknown> => this.#sending;

  /** Sends decisions after those before them, and after something else; gives their batch. */
  post(job: string, decisions: Decision[], after: Promise<unknown>): Promise<string | null> {
    const unsent = { job, decisions };
    this.#keep([...this.#unsent, unsent]);
    return this.#send(unsent, after);
  }

  #send(unsent: Unsent, after: Promise<unknown>): Promise<string | null> {
    const sent = Promise.all([this.#sending, after])
      .then(() => deliver(unsent))
      .finally(() => this.#keep(this.#unsent.filter((one) => one !== unsent)));
    this.#sending = sent.catch(() => undefined);
    return sent;
  }

  #keep(unsent: Unsent[]): void {
    this.#unsent = unsent;
    sessionStorage.setItem(KEY, JSON.stringify(unsent));
  }
}

const namesIn = ({ decisions }: Unsent): string[] => decisions.map(({ sample_id: id }) => id);

const pause = (milliseconds: number): Promise<void> => new Promise((over) => setTimeout(over, milliseconds));

async function deliver({ job, decisions }: Unsent): Promise<string | null> {
  for (;;) {
    try {
      return (await postReviews(job, decisions)).batch ?? null;
    } catch (error) {
      if (error instanceof Refused && AWAY.has(error.status)) connection.lost();
      else if (error instanceof Refused && error.status === QUOTA) await pause(QUOTA_MS);
      else if (!(error instanceof TypeError)) throw error;
    }
    await connection.back();
  }
}

export const outbox = new Outbox();
