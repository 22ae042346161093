// Decisions on the samples of a job: shown at once, sent in their order, undone together as they were made.

import { SvelteMap } from "svelte/reactivity";
import { follow } from "$/api/events";
import {
  decideOnAll,
  getReviewSummary,
  postReviews,
  undoBatch,
  type BulkRequest,
  type Decision,
  type ReviewSummary,
} from "$/api/reviews";
import type { Review, Suspect } from "$/api/types";
import { counted } from "$/words/numbers";
import { restated } from "$/words/reviews";
import type { Kind } from "$/words/verdicts";
import type { Ranking } from "./ranking.svelte";
import { reviewer } from "./reviewer.svelte";
import { attempt, toasts } from "./toasts.svelte";

/** What a decision is about: a row of the ranking, or the sample that is open. */
export interface Decided {
  id: string;
  given: string;
  suggested: string | null;
  review: Review | null;
}

interface Done {
  /** What held before, by sample; unknown of decisions on all that match. */
  before: Map<string, Review | null>;
  batch: Promise<string | null>;
}

// Reviews that arrive together are shown together.
const GATHER_MS = 80;
const SUMMARY_MS = 250;
const HIDDEN_MS = 1_000;
const LOST_MS = 4_000;

export const decidedOf = ({ sample, given_label, suggested_label, review }: Suspect): Decided => ({
  id: sample.id,
  given: given_label,
  suggested: suggested_label,
  review: review ?? null,
});

export class Decisions {
  summary = $state.raw<ReviewSummary>();
  undoable = $state(0);
  /** Counts how often everything was loaded anew. */
  version = $state(0);
  /** Latest reviews that this page knows of, its own and others', by sample. */
  readonly known = new SvelteMap<string, Review | null>();
  ranking: Ranking | undefined;
  #done: Done[] = [];
  #sending: Promise<unknown> = Promise.resolve();
  #pending = new Map<string, number>();
  #arrived = new Map<string, Review | null>();
  #timers: Partial<Record<"show" | "summarise" | "renew", ReturnType<typeof setTimeout>>> = {};
  #hiddenAt = 0;
  #stop: () => void;

  constructor(readonly job: string) {
    this.#summarise();
    this.#stop = follow(`/jobs/${job}/reviews/events`, ({ event, data }) => {
      if (event === "review") this.#arrive(data as Arrived);
      // Many at once are not listed.
      if (event === "reviews") this.#later("renew", GATHER_MS, () => attempt(() => this.renew()));
    });
    document.addEventListener("visibilitychange", this.#turn);
  }

  // A hidden tab follows nothing: what happened meanwhile is loaded.
  readonly #turn = (): void => {
    if (document.hidden) this.#hiddenAt = Date.now();
    else if (Date.now() - this.#hiddenAt > HIDDEN_MS) attempt(() => this.renew());
  };

  /** Loads anew what is shown. */
  async renew(): Promise<void> {
    await this.#sending;
    this.known.clear();
    this.version += 1;
    this.#summarise();
    await this.ranking?.reload();
  }

  /** The review of a sample that holds, where its row or page may be older. */
  reviewOf(id: string, shown: Review | null | undefined): Review | null {
    return this.known.has(id) ? (this.known.get(id) ?? null) : (shown ?? null);
  }

  /** Resolves when everything that was decided is sent. */
  readonly settled = (): Promise<unknown> => this.#sending;

  /** Decides on samples; nothing happens to those that it leaves as they are. Gives what was decided on. */
  async decide(samples: readonly Decided[], kind: Kind, label?: string): Promise<readonly Decided[]> {
    const about = samples.filter(({ given, suggested }) => kind !== "relabel" || label || suggested !== given);
    if (about.length === 0) return [];
    await reviewer.known();
    const decisions = about.map(({ id, suggested }): Decision => ({
      sample_id: id,
      decision: kind,
      label: kind === "relabel" ? (label ?? suggested) : null,
      reviewer: reviewer.name || null,
    }));
    const before = new Map(about.map(({ id, review }) => [id, this.reviewOf(id, review)]));
    this.#show(new Map(about.map(({ id, given }, place) => [id, this.#view(decisions[place] as Decision, given)])));
    this.#send(
      about.map(({ id }) => id),
      before,
      async () => (await postReviews(this.job, decisions)).batch ?? null,
    );
    if (about.length > 1) {
      const title = { relabel: "relabelled", keep: "kept", remove: "to be removed", unsure: "unsure" }[kind];
      toasts.say(`${counted(about.length, "sample")} ${title}`, {
        title: "Undo",
        run: () => attempt(() => this.undo()),
      });
    }
    return about;
  }

  /** Decides on every sample that a filter matches; gives how many. */
  async decideAll(request: BulkRequest): Promise<number> {
    await reviewer.known();
    let written = 0;
    this.#send([], new Map(), async () => {
      const done = await decideOnAll(this.job, { ...request, reviewer: reviewer.name || null });
      written = done.written;
      return done.batch;
    });
    await this.renew();
    return written;
  }

  /** Undoes what was decided last, and gives its first sample; undefined where there is nothing to undo. */
  async undo(): Promise<string | undefined> {
    const last = this.#done.pop();
    this.undoable = this.#done.length;
    if (!last) {
      toasts.say("There is nothing to undo");
      return undefined;
    }
    this.#show(last.before);
    const ids = [...last.before.keys()];
    this.#count(ids, 1);
    this.#sending = this.#sending
      .then(async () => {
        const batch = await last.batch;
        if (batch) await undoBatch(this.job, batch);
      })
      .catch((error: unknown) => toasts.fail(error))
      .finally(() => {
        this.#count(ids, -1);
        this.#summarise();
      });
    if (ids.length === 0) await this.renew();
    return ids[0];
  }

  close(): void {
    this.#stop();
    document.removeEventListener("visibilitychange", this.#turn);
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  #send(ids: string[], before: Done["before"], work: () => Promise<string | null>): void {
    this.#count(ids, 1);
    const batch = this.#sending.then(work);
    const done: Done = { before, batch };
    this.#done.push(done);
    this.undoable = this.#done.length;
    this.#sending = batch
      .catch((error: unknown) => {
        this.#done = this.#done.filter((one) => one !== done);
        this.undoable = this.#done.length;
        this.#show(before);
        toasts.failUnsaved(error);
      })
      .finally(() => {
        this.#count(ids, -1);
        this.#summarise();
      });
  }

  #count(ids: string[], step: number): void {
    for (const id of ids) {
      const now = (this.#pending.get(id) ?? 0) + step;
      if (now > 0) this.#pending.set(id, now);
      else this.#pending.delete(id);
    }
  }

  #view(decision: Decision, given: string): Review {
    return restated({
      decision: decision.decision as Kind,
      label: decision.label ?? null,
      given,
      job: this.job,
      source: "api",
      reviewer: decision.reviewer ?? null,
      created_at: new Date().toISOString(),
    });
  }

  #show(reviews: ReadonlyMap<string, Review | null>): void {
    for (const [id, review] of reviews) this.known.set(id, review);
    this.ranking?.mark(reviews);
  }

  // A review of this page comes back too; while a later one of its sample is on its way, the earlier is not shown again.
  #arrive({ sample_id: id, review }: Arrived): void {
    if (this.#pending.has(id)) return;
    this.#arrived.set(id, review);
    this.#later("show", GATHER_MS, () => {
      this.#show(this.#arrived);
      this.#arrived = new Map();
    });
    this.#summarise();
  }

  #summarise(): void {
    this.#later("summarise", SUMMARY_MS, () => {
      getReviewSummary(this.job).then(
        (summary) => (this.summary = summary),
        () => this.#later("summarise", LOST_MS, () => this.#summarise()),
      );
    });
  }

  #later(name: "show" | "summarise" | "renew", ms: number, work: () => void): void {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(work, ms);
  }
}

/** What the stream of a job's reviews sends: the review that holds now. */
interface Arrived {
  sample_id: string;
  review: Review | null;
}
