// Decisions on the samples of a job: shown at once, sent in their order, undone together as they were made.

import { SvelteMap } from "svelte/reactivity";
import { isRefused } from "$/api/client";
import {
  decideOnAll,
  getReviewSummary,
  undoBatch,
  type BulkRequest,
  type Decision,
  type ReviewSummary,
} from "$/api/reviews";
import { getSample } from "$/api/suspects";
import type { Review, Suspect } from "$/api/types";
import { counted } from "$/words/numbers";
import { leftAsDecided, restated } from "$/words/reviews";
import type { Kind } from "$/words/verdicts";
import type { Ranking } from "./ranking.svelte";
import { outbox } from "./outbox.svelte";
import { reviewer } from "./reviewer.svelte";
import { ReviewStream } from "./reviewStream";
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

const SUMMARY_MS = 250;
const LOST_MS = 4_000;
// Of more samples than these it is faster to load the list anew than to ask for each.
const ASKED_FOR = 20;

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
  #summary?: ReturnType<typeof setTimeout>;
  #stream: ReviewStream;

  /** `ranked` is called when the samples were scored again. */
  constructor(
    readonly job: string,
    ranked?: () => void,
  ) {
    this.#summarise();
    this.#stream = new ReviewStream(job, {
      show: (reviews) => {
        this.#show(reviews);
        this.#summarise();
      },
      renew: () => attempt(() => this.renew()),
      // The list is left as it is, so that nobody decides on another sample than the one they looked at.
      rank: () => {
        if (this.ranking) this.ranking.isStale = true;
        const show = { title: "Show it", run: () => attempt(() => this.renew()) };
        toasts.say("The reviews have sharpened the ranking.", show);
        ranked?.();
      },
    });
  }

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

  /** Resolves when everything that was decided is sent, and what others decide is heard of. */
  readonly settled = (): Promise<unknown> => Promise.all([this.#stream.listening, this.#sending, outbox.settled()]);

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
    const sent = outbox.post(this.job, decisions, this.#sending);
    this.#show(new Map(about.map(({ id, given }, place) => [id, this.#view(decisions[place] as Decision, given)])));
    this.#send(
      about.map(({ id }) => id),
      before,
      () => sent,
    );
    if (about.length > 1) {
      const title = {
        relabel: "relabelled",
        keep: "kept",
        remove: "to be removed",
        plausible: "plausible",
        unsure: "unsure",
      }[kind];
      toasts.say(`${counted(about.length, "sample")} ${title}`, {
        title: "Undo",
        run: () => attempt(() => this.undo()),
      });
    }
    return about;
  }

  /** How many samples that a filter matches were reviewed. */
  async countReviewed(filter: BulkRequest["filter"]): Promise<number> {
    await this.settled();
    const request = { filter: { ...filter, reviewed: true }, decision: "keep" as const, dry_run: true };
    return (await decideOnAll(this.job, request)).matched;
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
    const place = this.#done.length;
    const ids = [...last.before.keys()];
    const shown = new Map(ids.filter((id) => this.known.has(id)).map((id) => [id, this.known.get(id) ?? null]));
    this.#show(last.before);
    const undone = this.#sending.then(async () => {
      // Nothing is to be undone where it was not saved, which was said then.
      const batch = await last.batch.catch(() => null);
      return batch ? await undoBatch(this.job, batch, reviewer.name || null) : null;
    });
    this.#sending = this.#stream
      .during(ids, undone)
      .then(
        (answer) => (answer?.left ? this.#leave(ids, answer.left) : undefined),
        (error: unknown) => {
          // It still holds, and can be undone again.
          this.#done.splice(place, 0, last);
          this.undoable = this.#done.length;
          this.#show(new Map([...shown].filter(([id]) => this.known.get(id) === last.before.get(id))));
          toasts.fail(error);
        },
      )
      .catch((error: unknown) => toasts.fail(error))
      .finally(() => this.#summarise());
    if (ids.length === 0) await this.renew();
    return ids[0];
  }

  close(): void {
    this.#stream.close();
    clearTimeout(this.#summary);
  }

  // Some of these samples were decided again before the undo: what the service holds is shown, of all of them.
  async #leave(ids: readonly string[], left: number): Promise<void> {
    toasts.say(leftAsDecided(left));
    if (ids.length > ASKED_FOR) attempt(() => this.renew());
    else {
      const held = await Promise.all(
        ids.map(async (id) => [id, (await getSample(this.job, id)).review ?? null] as const),
      );
      this.#show(new Map(held.filter(([id]) => !this.#stream.isSending(id))));
    }
  }

  #send(ids: string[], before: Done["before"], work: () => Promise<string | null>): void {
    const batch = this.#stream.during(ids, this.#sending.then(work));
    const done: Done = { before, batch };
    this.#done.push(done);
    this.undoable = this.#done.length;
    this.#sending = batch
      .catch((error: unknown) => {
        this.#done = this.#done.filter((one) => one !== done);
        this.undoable = this.#done.length;
        this.#show(before);
        toasts.failUnsaved(error, ids);
      })
      .finally(() => this.#summarise());
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

  #summarise(after = SUMMARY_MS): void {
    clearTimeout(this.#summary);
    this.#summary = setTimeout(() => {
      getReviewSummary(this.job).then(
        (summary) => (this.summary = summary),
        (error: unknown) => isRefused(error) || this.#summarise(LOST_MS),
      );
    }, after);
  }
}
