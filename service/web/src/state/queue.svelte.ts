// Decisions on samples that a queue asks about: shown at once, sent in their order, undone as they were made.

import { SvelteMap } from "svelte/reactivity";
import { postReviews, undoBatch } from "$/api/reviews";
import { countVerified, listDecisions } from "$/api/queues";
import type { Job } from "$/api/types";
import { reviewer } from "./reviewer.svelte";
import { toasts } from "./toasts.svelte";
import type { Kind } from "$/words/verdicts";

export interface Decided {
  decision: string;
  label?: string | null;
}

interface Done {
  before: Map<string, Decided | undefined>;
  batch: Promise<string | undefined>;
}

export class ReviewQueue {
  /** The decision that holds, by sample. */
  readonly decided = new SvelteMap<string, Decided>();
  /** Samples of the dataset whose label people have confirmed. */
  verified = $state(0);
  undoable = $state(0);
  isSending = $state(false);
  isLoaded = $state(false);
  #done: Done[] = [];
  #sending: Promise<unknown> = Promise.resolve();
  #sent = 0;

  constructor(readonly job: Job) {
    void this.#load();
  }

  /** How many decisions change the dataset. */
  get changes(): { relabelled: number; removed: number } {
    const all = [...this.decided.values()];
    const among = (kind: string): number => all.filter(({ decision }) => decision === kind).length;
    return { relabelled: among("relabel"), removed: among("remove") };
  }

  decide(ids: readonly string[], kind: Kind, label: string | null = null): void {
    const before = new Map(ids.map((id) => [id, this.decided.get(id)]));
    for (const id of ids) this.decided.set(id, { decision: kind, label });
    const batch = this.#then(async () => {
      await reviewer.known();
      const decisions = ids.map((id) => ({ sample_id: id, decision: kind, label, reviewer: reviewer.name || null }));
      return (await postReviews(this.job.id, decisions)).batch;
    });
    this.#done.push({ before, batch });
    this.undoable = this.#done.length;
    batch.catch(() => this.#take(this.#done.find((one) => one.batch === batch)));
  }

  /** Undoes what was decided last, and gives its first sample. */
  undo(): string | undefined {
    const last = this.#done.at(-1);
    if (!last) return undefined;
    this.#take(last);
    void this.#then(async () => {
      const batch = await last.batch;
      if (batch) await undoBatch(this.job.id, batch);
    });
    return last.before.keys().next().value;
  }

  /** Resolves when everything that was decided is sent. */
  readonly settled = (): Promise<unknown> => this.#sending;

  // Shows again what held before.
  #take(done: Done | undefined): void {
    if (!done) return;
    this.#done = this.#done.filter((one) => one !== done);
    this.undoable = this.#done.length;
    for (const [id, decided] of done.before) {
      if (decided) this.decided.set(id, decided);
      else this.decided.delete(id);
    }
  }

  #then<T>(work: () => Promise<T>): Promise<T> {
    const mine = ++this.#sent;
    this.isSending = true;
    const result = this.#sending.then(work);
    this.#sending = result
      .then(() => (mine === this.#sent ? this.#count() : undefined))
      .catch((error: unknown) => toasts.failUnsaved(error))
      .finally(() => (this.isSending = mine !== this.#sent));
    return result;
  }

  async #load(): Promise<void> {
    try {
      const [found] = await Promise.all([listDecisions(this.job.id), this.#count()]);
      for (const [id, decided] of found) if (!this.decided.has(id)) this.decided.set(id, decided);
      this.isLoaded = true;
    } catch (error) {
      toasts.fail(error);
    }
  }

  async #count(): Promise<void> {
    this.verified = await countVerified(this.job.dataset.id);
  }
}
