// An audit as one person reviews it: the samples to review next, and what all reviews have measured so far.

import { drawSamples, getAudit, type Audit, type AuditItem, type AuditMoment, type LabelAudit } from "$/api/audits";
import { isRefused, Refused } from "$/api/client";
import type { Job } from "$/api/types";
import { ReviewQueue } from "./queue.svelte";
import { reviewer } from "./reviewer.svelte";
import { toasts } from "./toasts.svelte";

const BATCH = 20;
const MOST = 1_000; // samples in one answer
const SHORT = 6; // samples before the end at which more are asked for
const GATHER_MS = 120;
const WHOLE_MS = 5_000; // between two answers with their history, which take longer
const LOST_MS = 4_000;
const BLIND_KEY = "count-blind";
const BROWSER_KEY = "browser";

export class AuditRun {
  /** What has been handed out since the page was opened, in the order to review it in. */
  items = $state.raw<AuditItem[]>([]);
  answer = $state.raw<Audit>();
  history = $state.raw<AuditMoment[]>([]);
  labels = $state.raw<LabelAudit[]>([]);
  error = $state.raw<Error>();
  isStarted = $state(false);
  isDrawing = $state(false);
  /** Nothing is left to hand out. */
  isOver = $state(false);
  /** Why the service hands out nothing: it is asked again when the person says so. */
  refusal = $state.raw<Refused>();
  /** What the model says of a sample is hidden until the decision on it, so that it sways nobody. */
  isBlind = $state(localStorage.getItem(BLIND_KEY) !== null);
  readonly queue: ReviewQueue;
  #confirm: number | null = null; // what the next draws say, where it changes
  #wantsLabels = false;
  #isAsking = false;
  #isStale = false;
  #isClosed = false;
  #wholeAt = -Infinity;
  #later: ReturnType<typeof setTimeout> | undefined;
  #redrawing: ReturnType<typeof setTimeout> | undefined;

  /** `goal` follows the address: undefined for that of the last draws. `measured` is called when an answer has changed. */
  constructor(
    readonly job: Job,
    readonly goal: () => string | undefined,
    readonly measured: () => void,
  ) {
    this.queue = new ReviewQueue(job, () => this.refresh());
    // A reload goes on; another day somebody may only want to look.
    this.isStarted = sessionStorage.getItem(this.#key) !== null;
    if (this.isStarted) void this.draw();
    void this.#ask();
  }

  get #key(): string {
    return `reviewing-${this.job.id}`;
  }

  /** Begins to review, once the person has said who they are. */
  async start(): Promise<void> {
    await reviewer.known();
    sessionStorage.setItem(this.#key, "yes");
    this.isStarted = true;
    await this.draw();
  }

  pause(): void {
    sessionStorage.removeItem(this.#key);
    this.isStarted = false;
  }

  /** Asks for more samples when few are left after a place. */
  need(place: number): void {
    if (!this.isStarted || this.isOver || this.refusal || this.#redrawing) return;
    if (this.items.length - place < SHORT) void this.draw();
  }

  async draw(): Promise<void> {
    if (this.isDrawing || this.#isClosed) return;
    this.isDrawing = true;
    this.refusal = undefined;
    clearTimeout(this.#redrawing);
    this.#redrawing = undefined;
    try {
      const goal = this.goal() ?? this.answer?.stop.goal ?? "measure";
      const known = new Set(this.items.map(({ sample_id: id }) => id));
      // What was skipped comes again, among the others.
      let count = this.items.filter(({ sample_id: id }) => !this.queue.mine.has(id)).length + BATCH;
      for (;;) {
        const confirm = this.#confirm;
        const found = await drawSamples(this.job.id, { count, goal, confirm, reviewer: drawer() });
        if (confirm !== null) {
          this.#confirm = null;
          this.refresh(true);
        }
        const fresh = found.filter(({ sample_id: id }) => !known.has(id));
        this.items = [...this.items, ...fresh];
        this.isOver = fresh.length === 0 && found.length < count;
        if (fresh.length > 0 || this.isOver || count === MOST) break;
        // Decisions that are still on their way come again, too.
        count = Math.min(count + BATCH, MOST);
      }
    } catch (error) {
      // What a quota refuses is asked for again, too; until then its words say why there is no sample.
      if (error instanceof Refused && error.status < 500) this.refusal = error;
      if (!isRefused(error)) this.#redrawLater();
      // Where no sample is left to look at, its place says so.
      else if (this.items.length) toasts.fail(error);
    } finally {
      this.isDrawing = false;
    }
  }

  decideBlind(wanted: boolean): void {
    this.isBlind = wanted;
    if (wanted) localStorage.setItem(BLIND_KEY, "yes");
    else localStorage.removeItem(BLIND_KEY);
  }

  /** Says how many people must call a label wrong before it counts; from the next draws on. */
  async confirm(people: number): Promise<void> {
    // Who is not known cannot be a second person.
    if (people > 1 && !reviewer.name) reviewer.ask();
    this.#confirm = people;
    if (this.isStarted) await this.draw();
  }

  /** Asks soon what the reviews say now. */
  refresh(isWhole = false): void {
    if (isWhole) this.#wholeAt = -Infinity;
    this.#isStale = true;
    if (!this.#isAsking) this.#after(GATHER_MS);
  }

  /** Also measures each label, from now on. */
  measureLabels(wanted: boolean): void {
    this.#wantsLabels = wanted;
    if (wanted) this.refresh(true);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#later);
    clearTimeout(this.#redrawing);
    this.queue.close();
  }

  #redrawLater(): void {
    if (!this.#isClosed) this.#redrawing = setTimeout(() => void this.draw(), LOST_MS);
  }

  #after(milliseconds: number): void {
    clearTimeout(this.#later);
    if (!this.#isClosed) this.#later = setTimeout(() => void this.#ask(), milliseconds);
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    this.#isStale = false;
    const isWhole = Date.now() - this.#wholeAt >= WHOLE_MS;
    if (isWhole) this.#wholeAt = Date.now();
    const goal = this.goal();
    let next = isWhole ? Infinity : this.#wholeAt + WHOLE_MS - Date.now();
    try {
      this.#take(
        await getAudit(this.job.id, {
          ...(goal && { goal }),
          ...(isWhole && { history: true }),
          ...(isWhole && this.#wantsLabels && { by: "label" as const }),
        }),
        isWhole,
      );
      // The goal may have changed while the answer was on its way.
      if (this.#isStale || goal !== this.goal()) next = GATHER_MS;
    } catch (error) {
      if (this.answer === undefined) this.error = error as Error;
      this.#wholeAt = -Infinity;
      next = isRefused(error) ? Infinity : LOST_MS;
    }
    this.#isAsking = false;
    if (next < Infinity) this.#after(next);
  }

  #take(answer: Audit, isWhole: boolean): void {
    this.error = undefined;
    this.answer = answer;
    const { wrong, found, reviewed } = answer;
    if (!isWhole) {
      // Until the history comes, it goes on with what was answered.
      const earlier = this.history.filter(({ drawn }) => drawn < reviewed.drawn);
      if (reviewed.drawn) this.history = [...earlier, { drawn: reviewed.drawn, found, wrong }];
      return;
    }
    this.history = answer.history;
    this.labels = answer.labels;
    this.measured();
  }
}

// Who the samples are handed out to: a person without a name is this browser, so that a reload finds them again.
function drawer(): string {
  if (reviewer.name) return reviewer.name;
  let name = localStorage.getItem(BROWSER_KEY);
  if (!name) localStorage.setItem(BROWSER_KEY, (name = `browser ${Math.random().toString(36).slice(2)}`));
  return name;
}
