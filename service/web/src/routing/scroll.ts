// The scroll position of each entry of the history: a view that one comes back to stands where it was left.

const PATIENCE_MS = 1_500;

const positions = new Map<number, number>();
let current = -1;
let entries = 0;
let watching: ResizeObserver | undefined;

/** Begins to note positions. Call once. */
export function noteScrolling(): void {
  // The browser would restore a position before the view is there, and lose it.
  history.scrollRestoration = "manual";
  addEventListener("scroll", () => positions.set(current, scrollY), { passive: true });
}

/** Notes which entry is shown now. Call after each change of the route, before the view changes. */
export function arrive(): void {
  watching?.disconnect();
  const known = (history.state as { entry?: number } | null)?.entry;
  const wanted = known === undefined ? 0 : (positions.get(known) ?? 0);
  current = known ?? ++entries;
  entries = Math.max(entries, current);
  if (known === undefined) history.replaceState({ entry: current }, "");
  // The view grows while it loads.
  const settle = (): void => {
    scrollTo(0, wanted);
    if (Math.abs(scrollY - wanted) < 2) watching?.disconnect();
  };
  watching = new ResizeObserver(settle);
  watching.observe(document.body);
  const mine = watching;
  setTimeout(() => mine.disconnect(), PATIENCE_MS);
}
