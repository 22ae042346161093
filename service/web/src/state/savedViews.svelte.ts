// Named views of rankings, kept in this browser: filters and order, which go for any job that has their classes.

const KEY = "saved-views";

export interface SavedView {
  name: string;
  /** Parameters of the address. */
  query: Record<string, string>;
}

class SavedViews {
  all = $state.raw<SavedView[]>(read());

  save(name: string, query: Record<string, string>): void {
    this.#keep([...this.all.filter((one) => one.name !== name), { name, query }]);
  }

  remove(name: string): void {
    this.#keep(this.all.filter((one) => one.name !== name));
  }

  #keep(views: SavedView[]): void {
    this.all = views;
    localStorage.setItem(KEY, JSON.stringify(views));
  }
}

function read(): SavedView[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? (kept as SavedView[]) : [];
  } catch {
    return [];
  }
}

export const savedViews = new SavedViews();
