// The samples of a job that were asked for last: one that is fetched before it is shown is there at once.

import { getSample } from "$/api/suspects";
import type { JobSample } from "$/api/types";

const KEPT = 12;

export class RecentSamples {
  #found = new Map<string, Promise<JobSample>>();

  constructor(readonly job: string) {}

  get(id: string): Promise<JobSample> {
    const known = this.#found.get(id);
    if (known) return known;
    const asked = getSample(this.job, id);
    this.#found.set(id, asked);
    // One that could not be had is asked for again.
    asked.catch(() => this.#found.delete(id));
    const [oldest] = this.#found.keys();
    if (this.#found.size > KEPT && oldest !== undefined) this.#found.delete(oldest);
    return asked;
  }
}
