// The parts of a text that are marked: what a search found, and words that are typical of a label.

import type { Found, Side } from "./typical";

export interface Piece {
  text: string;
  isHit: boolean;
  /** The label that the word is typical of. */
  side: Side | null;
}

/** A text in pieces, of which those that are `part` are hits, whatever their case, and typical words have their side. */
export function pieces(text: string, part: string | undefined, typical: readonly Found[] = []): Piece[] {
  const hits = hitsIn(text, part);
  if (!hits.length && !typical.length) return [{ text, isHit: false, side: null }];
  const cuts = new Set([0, text.length, ...[...hits, ...typical].flatMap(({ start, end }) => [start, end])]);
  const places = [...cuts].sort((one, other) => one - other);
  const [isHit, side] = [follow(hits), follow(typical)];
  return places.slice(0, -1).map((start, number) => ({
    text: text.slice(start, places[number + 1]),
    isHit: isHit(start) !== undefined,
    side: side(start)?.side ?? null,
  }));
}

/** The range that holds a place; asked for places in ascending order. */
function follow<T extends Range>(ranges: readonly T[]): (place: number) => T | undefined {
  let next = 0;
  return (place) => {
    while ((ranges[next]?.end ?? Infinity) <= place) next++;
    const range = ranges[next];
    return range && range.start <= place ? range : undefined;
  };
}

interface Range {
  start: number;
  end: number;
}

function hitsIn(text: string, part: string | undefined): Range[] {
  if (!part) return [];
  const [whole, wanted] = [text.toLowerCase(), part.toLowerCase()];
  // Of few letters the lower case is longer, so that places would be others: then nothing is marked.
  if (whole.length !== text.length) return [];
  const found: Range[] = [];
  for (let at = whole.indexOf(wanted); at >= 0; at = whole.indexOf(wanted, at + wanted.length))
    found.push({ start: at, end: at + wanted.length });
  return found;
}

/** The first so many characters of a text; somewhat fewer, so that neither a word nor a sign is cut. */
export function beginning(text: string, most: number): string {
  if (text.length <= most) return text;
  const shown = text.slice(0, most);
  const space = /\s\S{0,40}$/u.exec(shown);
  // Without a space near by it ends anywhere but within a character of two code units.
  return space ? shown.slice(0, space.index + 1) : shown.replace(/[\ud800-\udbff]$/, "");
}

/** A text in parts of so many characters at most. */
export function partsOf(text: string, most: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += parts.at(-1)?.length ?? 0)
    parts.push(beginning(text.slice(at, at + most + 1), most));
  return parts;
}

/** The text around the first hit, where that is further on than a line shows. */
export function around(text: string, part: string | undefined, shown: number): string {
  const at = part ? text.toLowerCase().indexOf(part.toLowerCase()) : -1;
  if (at < shown * 0.7) return text;
  return `…${text.slice(Math.max(0, at - Math.floor(shown / 3)))}`;
}
