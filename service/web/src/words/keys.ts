// Keys of a review, and what they do.

export type Command =
  | { name: "move"; by: "item" | "row" | "page" | "end"; forward: boolean; extend: boolean }
  | { name: "class"; number: number }
  | { name: "decide"; kind: "relabel" | "keep" | "remove" | "plausible" | "unsure" }
  | { name: "undo" | "search" | "open" | "close" | "keys" | "select" | "selectAll" | "classes" };

export interface Pressed {
  key: string;
  shiftKey?: boolean;
  ctrlKey?: boolean;
  metaKey?: boolean;
  altKey?: boolean;
}

const move = (by: "item" | "row" | "page" | "end", forward: boolean): Command => ({
  name: "move",
  by,
  forward,
  extend: false,
});

const COMMANDS: Record<string, Command> = {
  ArrowRight: move("item", true),
  ArrowLeft: move("item", false),
  ArrowDown: move("row", true),
  ArrowUp: move("row", false),
  l: move("item", true),
  h: move("item", false),
  j: move("row", true),
  PageDown: move("page", true),
  PageUp: move("page", false),
  End: move("end", true),
  Home: move("end", false),
  r: { name: "decide", kind: "relabel" },
  k: { name: "decide", kind: "keep" },
  x: { name: "decide", kind: "remove" },
  p: { name: "decide", kind: "plausible" },
  u: { name: "decide", kind: "unsure" },
  z: { name: "undo" },
  c: { name: "classes" },
  s: { name: "select" },
  "/": { name: "search" },
  "?": { name: "keys" },
  Enter: { name: "open" },
  " ": { name: "open" },
  Escape: { name: "close" },
};

/** What a key does; null for every key that the page leaves to the browser. */
export function commandOf({ key, shiftKey, ctrlKey, metaKey, altKey }: Pressed): Command | null {
  if ((ctrlKey || metaKey) && !altKey && key.toLowerCase() === "a") return { name: "selectAll" };
  if ((ctrlKey || metaKey) && !altKey && !shiftKey && key.toLowerCase() === "z") return { name: "undo" };
  if (ctrlKey || metaKey || altKey) return null;
  if (/^[1-9]$/.test(key)) return { name: "class", number: Number(key) };
  const found = COMMANDS[key.length === 1 ? key.toLowerCase() : key];
  if (found?.name === "move") return { ...found, extend: shiftKey ?? false };
  return found ?? null;
}

/** The list that `?` shows. */
export const KEYS: { title: string; keys: [keys: string[], what: string][] }[] = [
  {
    title: "Decide",
    keys: [
      [["R"], "Relabel to the suggested label"],
      [["1", "–", "9"], "Relabel to this class"],
      [["C"], "Choose another class"],
      [["K"], "Keep: the label is right"],
      [["P"], "Plausible: you would choose another label, but this one is not wrong"],
      [["X"], "Remove from the data"],
      [["U"], "Unsure"],
      [["Z"], "Undo"],
    ],
  },
  {
    title: "Move",
    keys: [
      [["←", "→", "↑", "↓"], "Move; H, L and J too"],
      [["Page ↑", "Page ↓"], "A screen up or down"],
      [["Home", "End"], "First and last"],
      [["Enter", "Space"], "Open the sample, close it again"],
      [["Esc"], "Close, or clear the selection"],
      [["/"], "Search by name or text"],
    ],
  },
  {
    title: "Select",
    keys: [
      [["S"], "Select this one"],
      [["Shift", "+", "←", "→"], "Extend the selection"],
      [["Ctrl", "+", "click"], "Add or take away one"],
      [["Shift", "+", "click"], "Up to here"],
      [["Ctrl", "+", "A"], "All that are listed"],
      [["drag"], "Draw a frame around cards"],
    ],
  },
];
