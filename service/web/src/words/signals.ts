// Orders of a ranking in people's words.

interface Signal {
  name: string;
  title: string;
  high: string;
}

const HEADLINES: Record<string, { title: string; high: string }> = {
  mislabeled: { title: "Most likely mislabeled", high: "The label is probably wrong" },
  anomalous: { title: "Most unusual", high: "Unlike other samples, whatever the label" },
};

/** "Self-influence"; the two headline orders have names of their own. */
export const signalTitle = ({ name, title }: Pick<Signal, "name" | "title">): string =>
  HEADLINES[name]?.title ?? title.replace(/, negated$/, " (low first)");

/** What comes first in this order, as a sentence without its full stop. */
export function signalMeaning({ name, high }: Pick<Signal, "name" | "high">): string {
  const text = HEADLINES[name]?.high ?? high;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const isHeadline = (name: string): boolean => name in HEADLINES;
