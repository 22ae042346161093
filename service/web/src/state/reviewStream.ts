// The reviews of a job as they are made, by anybody: gathered, and without those that this page has overtaken.

import { follow } from "$/api/events";
import type { Review } from "$/api/types";

/** What the stream of a job's reviews sends: the review that holds now. */
interface Arrived {
  sample_id: string;
  review: Review | null;
}

interface Takes {
  /** Reviews that hold now, by sample; null where none does. */
  show: (reviews: ReadonlyMap<string, Review | null>) => void;
  /** Loads everything anew: too much has happened to be listed. */
  renew: () => void;
  /** Is told that the samples were scored again. */
  rank?: () => void;
}

// Reviews that arrive together are shown together.
const GATHER_MS = 80;
const HIDDEN_MS = 1_000;
// A list that is read before the stream is open lacks what is reviewed in between; a stream that does not come holds nothing up.
const OPENS_MS = 1_000;

export class ReviewStream {
  #sending = new Map<string, number>();
  #arrived = new Map<string, Review | null>();
  #timers: Partial<Record<"show" | "renew", ReturnType<typeof setTimeout>>> = {};
  #hiddenAt = 0;
  #stop: () => void;
  /** Resolves when the stream tells of all that comes: what is read from then on is never older than it. */
  readonly listening: Promise<void>;

  constructor(
    job: string,
    readonly takes: Takes,
  ) {
    let opened = (): void => undefined;
    this.listening = new Promise((resolve) => (opened = resolve));
    setTimeout(opened, OPENS_MS);
    this.#stop = follow(
      `/jobs/${job}/reviews/events`,
      ({ event, data }) => {
        if (event === "review") this.#arrive(data as Arrived);
        if (event === "reviews") this.#later("renew", () => takes.renew());
        if (event === "ranking") takes.rank?.();
      },
      undefined,
      opened,
    );
    document.addEventListener("visibilitychange", this.#turn);
  }

  /** Says that this page sends reviews of these samples, until `work` is done. */
  async during<T>(ids: readonly string[], work: Promise<T>): Promise<T> {
    this.#count(ids, 1);
    try {
      return await work;
    } finally {
      this.#count(ids, -1);
    }
  }

  /** Whether a review of this sample is on its way, so that what holds now will not. */
  readonly isSending = (id: string): boolean => this.#sending.has(id);

  close(): void {
    this.#stop();
    document.removeEventListener("visibilitychange", this.#turn);
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  // A hidden tab follows nothing: what happened meanwhile is loaded.
  readonly #turn = (): void => {
    if (document.hidden) this.#hiddenAt = Date.now();
    else if (Date.now() - this.#hiddenAt > HIDDEN_MS) this.takes.renew();
  };

  // A review of this page comes back too; while a later one of its sample is on its way, the earlier is not shown again.
  #arrive({ sample_id: id, review }: Arrived): void {
    if (this.isSending(id)) return;
    this.#arrived.set(id, review);
    this.#later("show", () => {
      const shown = new Map([...this.#arrived].filter(([sample]) => !this.isSending(sample)));
      this.#arrived = new Map();
      if (shown.size) this.takes.show(shown);
    });
  }

  #count(ids: readonly string[], step: number): void {
    for (const id of ids) {
      const now = (this.#sending.get(id) ?? 0) + step;
      if (now > 0) this.#sending.set(id, now);
      else this.#sending.delete(id);
    }
  }

  #later(name: "show" | "renew", work: () => void): void {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(work, GATHER_MS);
  }
}
