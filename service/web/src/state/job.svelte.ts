// One job as it stands now: loaded, and followed by its events until it ends.

import { getJob } from "$/api/jobs";
import { follow } from "$/api/events";
import { ENDED, type Job } from "$/api/types";

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
  error = $state.raw<unknown>();
  #stop: (() => void) | undefined;

  constructor(readonly id: string) {
    void this.load();
  }

  /** Loads the job anew, and follows it while it runs. */
  async load(): Promise<void> {
    try {
      this.job = await getJob(this.id);
      this.error = undefined;
      this.#stop ??= follow(
        `/jobs/${this.id}/events`,
        ({ event, data }) => this.#take(event, data),
        ({ event, data }) => event === "state" && ENDED.has((data as { state: string }).state),
      );
    } catch (error) {
      this.error = error;
    }
  }

  #take(event: string, data: unknown): void {
    if (!this.job) return;
    if (event === "progress") this.job = { ...this.job, progress: data as Job["progress"] };
    if (event === "metrics") {
      const epochs = [...this.epochs];
      epochs[(data as Epoch).epoch] = data as Epoch;
      this.epochs = epochs;
    }
    if (event === "state") {
      const { state } = data as { state: Job["state"] };
      if (state !== this.job.state) void getJob(this.id).then((job) => (this.job = job));
    }
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
