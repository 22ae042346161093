// Decisions on samples that a queue asks about: shown at once, sent in their order, undone as they were made.

import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { decideOnAll, undoBatch, type BulkRequest } from "$/api/reviews";
import { countVerified, listDecisions } from "$/api/queues";
import type { Job } from "$/api/types";
import { outbox } from "./outbox.svelte";
import { reviewer } from "./reviewer.svelte";
import { ReviewStream } from "./reviewStream";
import { toasts } from "./toasts.svelte";
import { leftAsDecided } from "$/words/reviews";
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
  /** What was decided here, since the page was opened: somebody else may have decided on others. */
  readonly mine = new SvelteSet<string>();
  /** Samples of the dataset whose label people have confirmed. */
  verified = $state(0);
  undoable = $state(0);
  isSending = $state(false);
  #done: Done[] = [];
  #sending: Promise<unknown> = Promise.resolve();
  #sent = 0;

  readonly #stream: ReviewStream;

  /** `changed` is called when reviews were saved, by this page or by anybody else. */
  constructor(
    readonly job: Job,
    readonly changed: () => void = () => undefined,
  ) {
    this.#stream = new ReviewStream(job.id, {
      show: (reviews) => {
        for (const [id, review] of reviews) this.#set(id, review ?? undefined);
        this.changed();
        this.#count().catch((error: unknown) => toasts.fail(error));
      },
      renew: () => {
        this.changed();
        void this.#load();
      },
    });
    void this.#load();
  }

  close(): void {
    this.#stream.close();
  }

  /** How many decisions change the dataset. */
  get changes(): { relabelled: number; removed: number } {
    const all = [...this.decided.values()];
    const among = (kind: string): number => all.filter(({ decision }) => decision === kind).length;
    return { relabelled: among("relabel"), removed: among("remove") };
  }

  decide(ids: readonly string[], kind: Kind, label: string | null = null): void {
    this.#decide(ids, kind, label, async (by, before) => {
      const decisions = ids.map((id) => ({ sample_id: id, decision: kind, label, reviewer: by }));
      return (await outbox.post(this.job.id, decisions, before)) ?? undefined;
    });
  }

  /** Decides on every sample that a filter matches; those that are `shown` say so at once. */
  decideOnAll(filter: BulkRequest["filter"], shown: readonly string[], kind: Kind, label: string | null = null): void {
    this.#decide(shown, kind, label, async (by, before) => {
      await before;
      const { batch } = await decideOnAll(this.job.id, { filter, decision: kind, label, reviewer: by });
      return batch ?? undefined;
    });
  }

  /** Undoes what was decided last, and gives its first sample. */
  undo(): string | undefined {
    const last = this.#done.at(-1);
    if (!last) return undefined;
    this.#take(last);
    const undone = this.#then([...last.before.keys()], async () => {
      // Nothing is to be undone where it was not saved, which was said then.
      const batch = await last.batch.catch(() => undefined);
      return batch ? await undoBatch(this.job.id, batch, reviewer.name || null) : null;
    });
    // What was decided again since stays, and all of it where the undo was not saved.
    undone.then(
      (answer) => {
        if (!answer?.left) return;
        toasts.say(leftAsDecided(answer.left));
        void this.#load();
      },
      () => void this.#load(),
    );
    return last.before.keys().next().value;
  }

  /** Resolves when everything that was decided is sent. */
  readonly settled = (): Promise<unknown> => this.#sending;

  #decide(
    ids: readonly string[],
    kind: Kind,
    label: string | null,
    send: (reviewer: string | null, before: Promise<unknown>) => Promise<string | undefined>,
  ): void {
    const before = new Map(ids.map((id) => [id, this.decided.get(id)]));
    for (const id of ids) {
      this.decided.set(id, { decision: kind, label });
      this.mine.add(id);
    }
    // Decisions are kept for sending at once, whatever is still on its way.
    const earlier = this.#sending;
    const sent = reviewer.known().then(() => send(reviewer.name || null, earlier));
    const batch = this.#then(ids, () => sent);
    this.#done.push({ before, batch });
    this.undoable = this.#done.length;
    batch.catch(() => this.#take(this.#done.find((one) => one.batch === batch)));
  }

  // Shows again what held before.
  #take(done: Done | undefined): void {
    if (!done) return;
    this.#done = this.#done.filter((one) => one !== done);
    this.undoable = this.#done.length;
    for (const [id, decided] of done.before) {
      this.#set(id, decided);
      if (!this.#done.some(({ before }) => before.has(id))) this.mine.delete(id);
    }
  }

  #set(id: string, decided: Decided | undefined): void {
    if (decided) this.decided.set(id, decided);
    else this.decided.delete(id);
  }

  #then<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
    const mine = ++this.#sent;
    this.isSending = true;
    const result = this.#stream.during(ids, this.#sending.then(work));
    this.#sending = result
      .then(() => {
        this.changed();
        return mine === this.#sent ? this.#count() : undefined;
      })
      .catch((error: unknown) => toasts.failUnsaved(error, ids))
      .finally(() => (this.isSending = mine !== this.#sent));
    return result;
  }

  async #load(): Promise<void> {
    try {
      await this.#sending;
      const sent = this.#sent;
      const [found] = await Promise.all([listDecisions(this.job.id), this.#count()]);
      // What was sent meanwhile may be missing in it.
      if (sent !== this.#sent) return await this.#load();
      for (const id of new Set([...this.decided.keys(), ...found.keys()]))
        if (!this.#stream.isSending(id)) this.#set(id, found.get(id));
    } catch (error) {
      toasts.fail(error);
    }
  }

  async #count(): Promise<void> {
    this.verified = await countVerified(this.job.dataset.id);
  }
}
