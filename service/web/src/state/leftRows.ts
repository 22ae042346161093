// Rows that have left a list at the service and are still shown in their places.

export class LeftRows<Row> {
  /** Counts changes. */
  version = 0;
  #rows = new Map<number, Row>();

  get size(): number {
    return this.#rows.size;
  }

  set(place: number, row: Row): void {
    if (!this.#rows.has(place)) this.version += 1;
    this.#rows.set(place, row);
  }

  delete(place: number): void {
    if (this.#rows.delete(place)) this.version += 1;
  }

  clear(): void {
    this.#rows.clear();
    this.version += 1;
  }

  /** How many are before a place. */
  before(place: number): number {
    let found = 0;
    for (const left of this.#rows.keys()) if (left < place) found += 1;
    return found;
  }

  /** Places of those from `start` to before `end`. */
  within(start: number, end: number): number[] {
    return [...this.#rows.keys()].filter((place) => place >= start && place < end);
  }

  /** The rows from place `start` on, at most `size` of them: those of the service, with the ones that left between. */
  merged(served: readonly Row[], start: number, size: number): Row[] {
    if (this.within(start, start + size).length === 0) return [...served];
    const rows: Row[] = [];
    let next = 0;
    for (let place = start; place < start + size; place++) {
      const row = this.#rows.get(place) ?? served[next++];
      if (row === undefined) break;
      rows.push(row);
    }
    return rows;
  }
}
