// Samples that are selected, to be decided on together; or all that the filters match.

import { SvelteMap } from "svelte/reactivity";
import type { Suspect } from "$/api/types";

export class Selection {
  readonly rows = new SvelteMap<string, Suspect>();
  /** Every sample that the filters match, also those that are not loaded. */
  isAll = $state(false);
  /** The place from which Shift selects on. */
  anchor = 0;

  get size(): number {
    return this.rows.size;
  }

  has(id: string): boolean {
    return this.isAll || this.rows.has(id);
  }

  toggle(row: Suspect, place: number): void {
    if (this.isAll) this.clear();
    this.anchor = place;
    if (!this.rows.delete(row.sample.id)) this.rows.set(row.sample.id, row);
  }

  /** Selects these, besides what is selected where `more` is true. */
  take(rows: Iterable<Suspect>, more = false): void {
    this.isAll = false;
    const wanted = new Map([...rows].map((row) => [row.sample.id, row]));
    if (!more) for (const id of this.rows.keys()) if (!wanted.has(id)) this.rows.delete(id);
    for (const [id, row] of wanted) this.rows.set(id, row);
  }

  clear(): void {
    this.rows.clear();
    this.isAll = false;
  }
}
