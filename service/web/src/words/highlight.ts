// The parts of a text that a search found.

export interface Piece {
  text: string;
  isHit: boolean;
}

/** A text in pieces, of which those that are `part` are hits, whatever their case. */
export function pieces(text: string, part: string | undefined): Piece[] {
  if (!part) return [{ text, isHit: false }];
  const [whole, wanted] = [text.toLowerCase(), part.toLowerCase()];
  // Of few letters the lower case is longer, so that places would be others: then nothing is marked.
  if (whole.length !== text.length) return [{ text, isHit: false }];
  const found: Piece[] = [];
  let from = 0;
  for (let at = whole.indexOf(wanted); at >= 0; at = whole.indexOf(wanted, from)) {
    if (at > from) found.push({ text: text.slice(from, at), isHit: false });
    found.push({ text: text.slice(at, at + wanted.length), isHit: true });
    from = at + wanted.length;
  }
  if (from < text.length) found.push({ text: text.slice(from), isHit: false });
  return found;
}

/** The text around the first hit, where that is further on than a line shows. */
export function around(text: string, part: string | undefined, shown: number): string {
  const at = part ? text.toLowerCase().indexOf(part.toLowerCase()) : -1;
  if (at < shown * 0.7) return text;
  return `…${text.slice(Math.max(0, at - Math.floor(shown / 3)))}`;
}
