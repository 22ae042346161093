// One job as it stands now: loaded, and followed by its events until it ends.

import { isRefused } from "$/api/client";
import { getJob, rescoreJob } from "$/api/jobs";
import { follow } from "$/api/events";
import { ENDED, type Job } from "$/api/types";

const RETRY_MS = 2_000;
const SETTLED_MS = 50;

interface StateEvent {
  state: Job["state"];
}

export interface Epoch {
  epoch: number;
  loss: number;
  accuracy: number;
  [more: string]: number;
}

export class FollowedJob {
  job = $state.raw<Job>();
  /** By epoch: a job that another worker took over sends an epoch twice. */
  epochs = $state.raw<Epoch[]>([]);
  /** Why the job cannot be shown; a service that is away is asked again instead. */
  error = $state.raw<Error>();
  #stop: (() => void) | undefined;
  #reloading: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  /** The newest state among the events so far. */
  #told: Job["state"] | undefined;

  constructor(readonly id: string) {
    void this.load();
  }

  /** Loads the job anew, and follows it while it runs. The curves of one that has ended are among its events. */
  async load(): Promise<void> {
    clearTimeout(this.#reloading);
    try {
      this.job = await getJob(this.id);
      this.error = undefined;
    } catch (error) {
      // A wrong key is asked for elsewhere.
      if (isRefused(error)) {
        if (error.status !== 401) this.error = error;
      } else if (!this.#isClosed) this.#reloading = setTimeout(() => void this.load(), RETRY_MS);
      return;
    }
    if (this.#isClosed) return;
    // A job may end while its past events are on their way: the last of them is waited for.
    if (ENDED.has(this.job.state) && this.#told === this.job.state) this.#unfollow();
    else this.#follow();
  }

  /** Asks for its samples to be scored again by what people verified. */
  async rescore(): Promise<void> {
    await rescoreJob(this.id);
  }

  #follow(): void {
    this.#stop ??= follow(
      `/jobs/${this.id}/events`,
      ({ event, data }) => this.#take(event, data),
      // A job that was retried has an end among its events, too, and the stream goes on after it.
      ({ event, data }) => event === "state" && ENDED.has((data as StateEvent).state),
    );
  }

  #take(event: string, data: unknown): void {
    if (!this.job) return;
    if (event === "progress") this.job = { ...this.job, progress: data as Job["progress"] };
    if (event === "metrics") {
      const epochs = [...this.epochs];
      epochs[(data as Epoch).epoch] = data as Epoch;
      this.epochs = epochs;
    }
    // A first ranking of a job that still computes.
    if (event === "ranking" && !this.job.result && !ENDED.has(this.job.state)) this.#reload();
    if (event === "state") this.#entered((data as StateEvent).state);
  }

  // Past states come first, all at once: the job is loaded when they have passed.
  #entered(state: Job["state"]): void {
    this.#told = state;
    clearTimeout(this.#reloading);
    if (state !== this.job?.state) this.#reload();
    else if (ENDED.has(state)) this.#unfollow();
  }

  #reload(): void {
    clearTimeout(this.#reloading);
    this.#reloading = setTimeout(() => void this.load(), SETTLED_MS);
  }

  #unfollow(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#reloading);
    this.#unfollow();
  }
}
