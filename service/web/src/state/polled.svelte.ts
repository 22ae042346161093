// A value that is fetched again while it may change: at each event of the service, and every few seconds in any case.

import { isRefused } from "$/api/client";
import { follow } from "$/api/events";

const EVERY_MS = 5_000;
const TOGETHER_MS = 250;

export class Polled<T> {
  value = $state.raw<T>();
  error = $state.raw<unknown>();
  #stop: () => void;
  #waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly fetched: () => Promise<T>,
    events = "/events",
  ) {
    const timer = setInterval(() => document.hidden || isRefused(this.error) || void this.load(), EVERY_MS);
    const unfollow = follow(events, () => {
      // Many events come together when a job ends.
      this.#waiting ??= setTimeout(() => {
        this.#waiting = undefined;
        void this.load();
      }, TOGETHER_MS);
    });
    this.#stop = () => {
      clearInterval(timer);
      clearTimeout(this.#waiting);
      unfollow();
    };
    void this.load();
  }

  async load(): Promise<void> {
    try {
      this.value = await this.fetched();
      this.error = undefined;
    } catch (error) {
      this.error = error;
    }
  }

  close(): void {
    this.#stop();
  }
}
