// How the client corrects what was read of a file: the uses and kinds of its columns, and the description that says so.

import type { Dataset } from "$/api/types";

export type Column = Dataset["columns"] extends (infer One)[] | undefined ? One : never;

/** What is known of a file, in the API's form. */
export interface Spec {
  label?: string | string[];
  id?: string;
  split?: string;
  group?: string;
  annotator?: string;
  features?: string[];
  exclude?: string[];
  kinds?: Record<string, string>;
  missing?: string[];
  merge_labels?: Record<string, string[]>;
  header?: boolean;
  decimal?: "." | ",";
  day_first?: boolean;
}

export interface Row {
  column: Column;
  use: string;
  kind: string | null;
}

/** Answers about the whole file. */
export interface Answers {
  labelName: string;
  missing: string;
  header: "" | "names" | "sample";
  decimal: "" | "." | ",";
  dayFirst: "" | "day" | "month";
}

export const NO_ANSWERS: Answers = { labelName: "", missing: "", header: "", decimal: "", dayFirst: "" };

export const USES: Record<string, string> = {
  label: "Label",
  input: "Learn from",
  id: "Name of the sample",
  group: "Belongs together",
  annotator: "Who labelled",
  split: "Split",
  left_out: "Leave out",
};
export const KINDS: Record<string, string> = {
  numeric: "Number",
  categorical: "Category",
  boolean: "Yes or no",
  datetime: "Date",
  time: "Time of day",
  text: "Text",
};
/** Kinds and roles that nobody can change. */
export const FIXED: Record<string, string> = { path: "Place of the file", image: "Image", embedding: "Vector" };

const TAKEN = ["id", "split", "group", "annotator", "left_out"];
const ONE_EACH = ["label", "id", "split", "group", "annotator"] as const;

export const rowsOf = (columns: Column[]): Row[] =>
  columns.map((column) => ({ column, use: column.role, kind: column.kind }));

/** Whether the client may say what a column is used for. */
export const isMovable = ({ column }: Row): boolean => column.role in USES && column.kind !== "image";

/** The rows with another use of one. Only one column is the label, the name, the split, the group or who labelled: the former is learnt from. */
export const moved = (rows: Row[], index: number, use: string): Row[] =>
  rows.map((row, place) => {
    if (place === index) return { ...row, use };
    return row.use === use && (ONE_EACH as readonly string[]).includes(use) ? { ...row, use: "input" } : row;
  });

/** What `Spec.header` is by an answer. */
const headerOf = (answer: Answers["header"]): boolean | undefined => (answer ? answer === "names" : undefined);

/**
 * The description of the file that the rows and answers give: what was said before, and what is changed in it. Where another first
 * line has the names, columns are called otherwise: what was said of them is left out.
 */
export function corrected(spec: Spec, rows: Row[], answers: Answers): Spec {
  const header = headerOf(answers.header);
  const isRenamed = (header === false) !== (spec.header === false);
  const made: Spec = isRenamed ? {} : { ...spec };
  if (header === undefined) delete made.header;
  else made.header = header;
  if (rows.length && !isRenamed) {
    for (const use of ONE_EACH) {
      const now = rows.find((row) => row.use === use);
      if (!now) made[use] = undefined;
      else if (now.column.role !== use) made[use] = now.column.name;
      else if (spec[use] !== undefined) Object.assign(made, { [use]: spec[use] });
    }
    const named = (use: string): string[] => rows.filter((row) => row.use === use).map(({ column }) => column.name);
    const away = rows.filter((row) => row.use === "left_out" && row.column.role !== "left_out");
    const out = new Set(named("left_out"));
    made.exclude = [...(spec.exclude ?? []), ...away.map(({ column }) => column.name)].filter((name) => out.has(name));
    // A column that was taken for something else, or left out, is learnt from when it is named.
    if (spec.features || rows.some((row) => row.use === "input" && TAKEN.includes(row.column.role)))
      made.features = named("input");
    for (const row of rows)
      if (row.kind && row.kind !== row.column.kind && row.use === "input")
        made.kinds = { ...made.kinds, [row.column.name]: row.kind };
  }
  if (answers.labelName.trim()) made.label = answers.labelName.trim();
  const missing = answers.missing
    .split(",")
    .map((text) => text.trim())
    .filter(Boolean);
  if (missing.length) made.missing = missing;
  else delete made.missing;
  if (answers.decimal) made.decimal = answers.decimal;
  else delete made.decimal;
  if (answers.dayFirst) made.day_first = answers.dayFirst === "day";
  else delete made.day_first;
  return made;
}

/** Groups of classes that differ in case, spaces or invisible characters alone; the most frequent of each comes first. */
export function alike(counts: Record<string, number>): string[][] {
  const groups = new Map<string, string[]>();
  for (const name of Object.keys(counts).sort((one, other) => (counts[other] ?? 0) - (counts[one] ?? 0))) {
    const text = name
      .normalize("NFKC")
      .replace(/\p{Cf}/gu, "")
      .trim();
    const isNumber = text !== "" && !Number.isNaN(Number(text));
    const folded = isNumber ? String(Number(text)) : text.toLowerCase().replace(/[\s_-]+/g, " ");
    groups.set(folded, [...(groups.get(folded) ?? []), name]);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}
