// Values of samples as short text.

import { short } from "./numbers";

const MIDNIGHT = /^(\d{4}-\d\d-\d\d)T00:00:00(\.0+)?$/;
const MOMENT = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?$/;

/** A number as it is in the file, a date or a text, or what else a client sent; an en dash for nothing. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return exact(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return value.replace(MIDNIGHT, "$1").replace(MOMENT, "$1 $2$3");
  return Array.isArray(value) ? vector(value) : JSON.stringify(value);
}

// Twelve digits: more than people measure, and fewer than what calculating leaves behind (0.30000000000000004).
const exact = (value: number): string => String(Number.isInteger(value) ? value : Number(value.toPrecision(12)));

// Of a vector the first values say enough, and few digits of each.
function vector(values: unknown[]): string {
  const shown = values
    .slice(0, 6)
    .map((value) => (typeof value === "number" ? short(value) : valueText(value)))
    .join(", ");
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
