// Values of samples as short text.

import { short } from "./numbers";

/** A number, a text, or what else a client sent; an en dash for nothing. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return short(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return vector(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// Of a vector the first values say enough.
function vector(values: unknown[]): string {
  const shown = values.slice(0, 6).map(valueText).join(", ");
  return values.length > 6 ? `${shown}, … (${values.length})` : shown;
}

/** The probabilities of predictions by class, highest first; null for anything else. */
export function probabilities(value: unknown, classes: readonly string[]): [label: string, share: number][] | null {
  if (!Array.isArray(value) || value.length !== classes.length || !value.every((one) => typeof one === "number"))
    return null;
  return classes
    .map((name, place): [string, number] => [name, value[place] as number])
    .sort(([, one], [, other]) => other - one);
}
