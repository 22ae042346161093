// Words that are typical of the classes of a text dataset, and where a text holds them.

import { percent } from "./numbers";

/** How many of the texts of a class hold a word, and how many of the others, as shares. */
export interface Frequency {
  share: number;
  elsewhere: number;
}

/** By class, then by word in lower case. */
export type TypicalWords = ReadonlyMap<string, ReadonlyMap<string, Frequency>>;

/** The label that a word is typical of. */
export type Side = "given" | "suggested";

export interface Found {
  start: number;
  end: number;
  side: Side;
  word: string;
  frequency: Frequency;
}

// As the service splits texts (service/ingest/typical_words.py): scripts without spaces between words cannot be split.
const WORD =
  /[^\p{Z}\p{P}\p{S}\p{C}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}\u3000-\u30ff]{2,}/gu;

export const MEANING =
  "Words that are much more frequent in texts with this label than in the other texts of this dataset. " +
  "They do not show what the model looked at.";

/** Whether any class has a typical word. */
export const areWordsKnown = (words: TypicalWords | undefined): boolean =>
  [...(words?.values() ?? [])].some(({ size }) => size > 0);

/** Words that are typical of one of two labels, in the order of the text. Those that are typical of both speak for neither. */
export function typicalIn(
  text: string,
  words: TypicalWords | undefined,
  given: string,
  suggested: string | null | undefined,
): Found[] {
  const own = words?.get(given);
  const other = suggested && suggested !== given ? words?.get(suggested) : undefined;
  if (!own?.size && !other?.size) return [];
  const found: Found[] = [];
  for (const { 0: match, index } of text.matchAll(WORD)) {
    const word = match.toLowerCase();
    const [here, there] = [own?.get(word), other?.get(word)];
    const frequency = here ?? there;
    if (!frequency || (here && there)) continue;
    found.push({ start: index, end: index + match.length, side: here ? "given" : "suggested", word, frequency });
  }
  return found;
}

/** The words of each label that a text holds, each once, the most telling first. */
export function listed(found: readonly Found[], side: Side): Found[] {
  const once = new Map(found.filter((one) => one.side === side).map((one) => [one.word, one]));
  const ratio = ({ frequency: { share, elsewhere } }: Found): number => share / (elsewhere + 0.001);
  return [...once.values()].sort((one, other) => ratio(other) - ratio(one));
}

/** "in 34 % of the texts labelled sport, in 2 % of the others". */
export function frequencyText({ share, elsewhere }: Frequency, label: string): string {
  const others = elsewhere > 0 ? `in ${percent(elsewhere)}` : "in none";
  return `in ${percent(share)} of the texts labelled ${label}, ${others} of the others`;
}
