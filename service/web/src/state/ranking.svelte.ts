// The ranking of a job by one query: as long as it is, of which the pages in sight are held.
//
// A decision can take a sample out of a filtered list ("not reviewed yet"). Its row stays where it is until the list is
// loaded anew, because a list that moves under the hand of a person is one that they decide wrongly in. The service
// counts without such rows, so that places are translated.

import { SvelteMap } from "svelte/reactivity";
import { listSuspects, type SuspectQuery } from "$/api/suspects";
import type { Review, Suspect } from "$/api/types";
import { passes, turnsOnReviews, type Filters } from "./filters";
import { LeftRows } from "./leftRows";
import { toasts } from "./toasts.svelte";

// More than a screen has, and few enough that a new filter answers at once: the rows of a page lie anywhere in the dataset.
const PAGE = 50;
// 6,000 rows: as many as a person scrolls through before the first are fetched again.
const MOST_PAGES = 120;
// Rows that are fetched before they are in sight.
const AHEAD = 25;
// While the scroll bar is dragged, pages that are passed are not fetched.
const SETTLED_MS = 60;
const RETRY_MS = 2_000;
const TRIES = 3;

export class Ranking {
  total = $state(0);
  flagged = $state(0);
  isLoading = $state(true);
  /** The list has changed at the service in a way that this page did not do: others reviewed. */
  isStale = $state(false);
  /** Why the first page could not be had. */
  error = $state.raw<unknown>();
  #pages = new SvelteMap<number, Suspect[]>();
  #outdated = new Set<number>();
  #left = new LeftRows<Suspect>();
  #requested = new Map<number, Promise<void>>();
  #aborted = new AbortController();
  #settling: ReturnType<typeof setTimeout> | undefined;
  #range: [first: number, end: number] = [0, 0];

  constructor(
    readonly job: string,
    readonly filters: Filters,
    readonly settled: () => Promise<unknown> = () => Promise.resolve(),
  ) {
    void this.#fetch(0);
  }

  /** The suspect at a place from 0; undefined while it is fetched. */
  at(place: number): Suspect | undefined {
    return this.#pages.get(Math.floor(place / PAGE))?.[place % PAGE];
  }

  /** Fetches what is not there of the places from `first` to before `end`. */
  need(first: number, end: number): void {
    this.#range = [first, end];
    clearTimeout(this.#settling);
    // What comes next is fetched before it is in sight.
    const [from, to] = [Math.max(0, first - AHEAD), Math.min(end + AHEAD, this.total)];
    this.#settling = setTimeout(() => {
      for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) void this.#fetch(page);
    }, SETTLED_MS);
  }

  /** The suspect at a place, fetched if needed; undefined after the last. */
  async find(place: number): Promise<Suspect | undefined> {
    if (place < 0 || (place >= this.total && !this.isLoading)) return undefined;
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

  /** Place of a sample that has this rank in the whole ranking; -1 where the list does not have it. */
  async locate(id: string, rank: number): Promise<number> {
    const known = this.placeOf(id);
    if (known >= 0) return known;
    let [low, high] = [0, Math.min(this.total, rank) - 1];
    while (low <= high) {
      const middle = Math.floor((low + high) / 2);
      const found = await this.find(middle);
      if (!found) return -1;
      if (found.sample.id === id) return middle;
      if (found.rank < rank) low = middle + 1;
      else high = middle - 1;
    }
    return this.placeOf(id);
  }

  /** Shows reviews on the rows that are held. */
  mark(reviews: ReadonlyMap<string, Review | null>): void {
    for (const [page, rows] of this.#pages) {
      if (!rows.some(({ sample }) => reviews.has(sample.id))) continue;
      const marked = rows.map((row) =>
        reviews.has(row.sample.id) ? { ...row, review: reviews.get(row.sample.id) ?? null } : row,
      );
      this.#pages.set(page, marked);
      if (!turnsOnReviews(this.filters)) continue;
      marked.forEach((row, within) => {
        if (!reviews.has(row.sample.id)) return;
        if (passes(this.filters, row.review ?? null)) this.#left.delete(page * PAGE + within);
        else this.#left.set(page * PAGE + within, row);
      });
    }
  }

  /** Loads the list anew. What is in sight stays until its successor is there. */
  async reload(): Promise<void> {
    this.#left.clear();
    this.isStale = false;
    this.#requested.clear();
    this.#outdated = new Set(this.#pages.keys());
    const [first, end] = this.#range;
    const pages = new Set([0]);
    for (let page = Math.floor(first / PAGE); page * PAGE < end; page++) pages.add(page);
    await Promise.all([...pages].map((page) => this.#fetch(page)));
  }

  close(): void {
    this.#aborted.abort();
    clearTimeout(this.#settling);
  }

  #fetch(page: number): Promise<void> {
    const running = this.#requested.get(page);
    if (running) return running;
    if (this.#pages.has(page) && !this.#outdated.has(page)) return Promise.resolve();
    const work = this.#load(page).finally(() => {
      if (this.#requested.get(page) === work) this.#requested.delete(page);
    });
    this.#requested.set(page, work);
    return work;
  }

  async #load(page: number): Promise<void> {
    try {
      for (let tried = 0; tried < TRIES; tried++) {
        await this.settled();
        const version = this.#left.version;
        const start = page * PAGE;
        const inside = this.#left.within(start, start + PAGE);
        const { items, total, flagged } = await listSuspects(
          this.job,
          {
            ...(this.filters as SuspectQuery),
            signals: this.filters.by,
            offset: start - this.#left.before(start),
            limit: Math.max(1, PAGE - inside.length),
          },
          this.#aborted.signal,
        );
        // A decision was made meanwhile: the places are others.
        if (version !== this.#left.version && tried + 1 < TRIES) continue;
        this.#take(page, this.#left.merged(items, start, PAGE), total + this.#left.size, flagged);
        return;
      }
    } catch (error) {
      if (this.#aborted.signal.aborted) return;
      if (page === 0 && this.isLoading) [this.error, this.isLoading] = [error, false];
      else toasts.fail(error);
      if (error instanceof TypeError) setTimeout(() => this.need(...this.#range), RETRY_MS);
    }
  }

  #take(page: number, rows: Suspect[], total: number, flagged: number): void {
    if (!this.isLoading && total !== this.total && !this.#outdated.has(page)) this.isStale = true;
    else this.total = total;
    // Samples that are asked for by name come in one page, however many.
    for (let start = 0; start === 0 || start < rows.length; start += PAGE) {
      this.#pages.set(page + start / PAGE, rows.slice(start, start + PAGE));
      this.#outdated.delete(page + start / PAGE);
    }
    [this.flagged, this.isLoading, this.error] = [flagged, false, undefined];
    for (const old of this.#pages.keys()) {
      if (this.#pages.size <= MOST_PAGES) break;
      const inSight = old >= Math.floor(this.#range[0] / PAGE) && old * PAGE < this.#range[1];
      if (!inSight && Math.abs(old - page) > 2) this.#pages.delete(old);
    }
  }
}
