// The ranking of a job by one query: as long as it is, of which the pages in sight are held.

import { SvelteMap } from "svelte/reactivity";
import { listSuspects, type SuspectQuery } from "$/api/suspects";
import type { Review, Suspect } from "$/api/types";
import { toasts } from "./toasts.svelte";

const PAGE = 100;
// 6,000 rows: as many as a person scrolls through before the first are fetched again.
const MOST_PAGES = 60;
// While the scroll bar is dragged, pages that are passed are not fetched.
const SETTLED_MS = 60;

export class Ranking {
  total = $state(0);
  flagged = $state(0);
  isLoading = $state(true);
  #pages = new SvelteMap<number, Suspect[]>();
  // eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing that is drawn depends on it
  #requested = new Set<number>();
  #aborted = new AbortController();
  #settling: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly job: string,
    readonly query: SuspectQuery,
  ) {
    void this.#fetch(0);
  }

  /** The suspect at a place from 0; undefined while it is fetched. */
  at(place: number): Suspect | undefined {
    return this.#pages.get(Math.floor(place / PAGE))?.[place % PAGE];
  }

  /** Fetches what is not there of the places from `first` to before `end`. */
  need(first: number, end: number): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      for (let page = Math.floor(first / PAGE); page * PAGE < end; page++) void this.#fetch(page);
    }, SETTLED_MS);
  }

  /** The suspect at a place, fetched if needed; undefined after the last. */
  async find(place: number): Promise<Suspect | undefined> {
    if (place < 0 || place >= this.total) return undefined;
    await this.#fetch(Math.floor(place / PAGE));
    return this.at(place);
  }

  /** Place of a sample among the rows that are held; -1 for others. */
  placeOf(id: string): number {
    for (const [page, rows] of this.#pages) {
      const within = rows.findIndex(({ sample }) => sample.id === id);
      if (within >= 0) return page * PAGE + within;
    }
    return -1;
  }

  /** Shows reviews on the rows that are held. */
  mark(reviews: ReadonlyMap<string, Review | null>): void {
    for (const [page, rows] of this.#pages) {
      if (!rows.some(({ sample }) => reviews.has(sample.id))) continue;
      this.#pages.set(
        page,
        rows.map((row) => (reviews.has(row.sample.id) ? { ...row, review: reviews.get(row.sample.id) ?? null } : row)),
      );
    }
  }

  close(): void {
    this.#aborted.abort();
    clearTimeout(this.#settling);
  }

  async #fetch(page: number): Promise<void> {
    if (this.#pages.has(page) || this.#requested.has(page)) return;
    this.#requested.add(page);
    try {
      const { items, total, flagged } = await listSuspects(
        this.job,
        { ...this.query, offset: page * PAGE, limit: PAGE } as SuspectQuery,
        this.#aborted.signal,
      );
      this.#pages.set(page, items);
      [this.total, this.flagged, this.isLoading] = [total, flagged, false];
      for (const old of this.#pages.keys()) {
        if (this.#pages.size <= MOST_PAGES) break;
        if (Math.abs(old - page) > 2) this.#pages.delete(old);
      }
    } catch (error) {
      toasts.fail(error);
    } finally {
      this.#requested.delete(page);
    }
  }
}
