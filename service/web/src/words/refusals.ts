// Why a file was not taken, in people's words, and what to do.

export interface Refusal {
  title: string;
  /** What the service says of it, as sentences. */
  detail: string;
  cure?: string;
  /** What else could have been read. */
  readable?: string;
}

/** The parts of an error answer that are read here. */
interface Problem {
  detail: string;
  code?: string;
  errors?: { loc: (string | number)[]; msg: string }[];
}

const UNUSABLE = "This file cannot be used as it is";

const TITLES: Record<string, string> = {
  unreadable_type: "This kind of file cannot be read",
  malformed: "This file is damaged, or is not what its name says",
  too_large: "This file is too large",
  storage_full: "The disk of the service is full",
};
const CURES: Record<string, string> = {
  unreadable_type:
    "Use a table (CSV, Excel, Parquet, JSON), a ZIP with one folder of images per class, or an export of a labelling tool.",
  malformed: "Save or export it once more, and choose the new file.",
  storage_full: "Delete jobs or datasets that are no longer needed, then try again.",
};
// Names of the service's parts, which say nothing about the file.
const PARTS = new Set(["body", "file", "spec"]);

const FIELDS: Record<string, string> = {
  label: "the label",
  id: "the sample name",
  split: "the split",
  group: "the group",
  annotator: "who labelled",
  features: "what to learn from",
  exclude: "leave out",
  kinds: "the kind",
  missing: "the values that mean missing",
  header: "the first line",
  decimal: "the decimal mark",
  day_first: "the order of dates",
};

/** A text of the service without names of the API: advice to send a field is left out, as the page has a control for it. */
export const plainly = (text: string): string =>
  text
    .replace(/^spec: \w+: /gm, "")
    .replace(/[^.;]*\bspec \{.*$/s, "")
    .replace(/; name it as spec\.[^;]*/g, "")
    .replace(/\bname (it|them) in spec\.features to learn from it/g, "choose “Learn from” to use it")
    .replace(
      /\bname (it|them) in spec\.(features|exclude)/g,
      (_, which: string, field: string) => `choose “${field === "exclude" ? "Leave out" : "Learn from"}” for ${which}`,
    )
    .replace(/\bspec\.\w+ names it/g, "as you said")
    .replace(/\bspec\.\w+ does not name it/g, "you did not choose it")
    .replace(/\bset spec\.header to false\b/g, "say that the first line is a sample")
    .replace(/\bspec\.(\w+)/g, (_, field: string) => FIELDS[field] ?? field)
    .trim();

/** A clause of the service as a sentence. */
export const sentence = (text: string): string => {
  const plain = plainly(text);
  return plain && `${plain.charAt(0).toUpperCase()}${plain.slice(1)}${/[.!?:]$/.test(plain) ? "" : "."}`;
};

/** Why a file was not taken, from what the service answered. */
export function refusalOf({ detail, errors, code }: Problem): Refusal {
  const known = code ?? "";
  const title = TITLES[known] ?? UNUSABLE;
  const cure = CURES[known];
  if (known === "unreadable_type") {
    // "no reader takes 'a.pdf'. It is PDF. Readable: …"
    const [said = "", readable] = detail.split(/\s*\bReadable: /);
    return {
      title,
      detail: said.replace(/^no reader takes .*?['"]\.(?=\s|$)\s*/, ""),
      ...(cure && { cure }),
      ...(readable && { readable }),
    };
  }
  const lines = errors?.map(({ loc, msg }) => {
    const where = loc.map(String).filter((name) => !PARTS.has(name) && !(loc[0] === "spec" && name === loc[1]));
    const isSaid = where.every((name) => msg.includes(name.replace(/^(column|line) /, "")));
    return isSaid ? sentence(msg) : `${where.join(", ")}: ${sentence(msg)}`;
  });
  return { title, detail: lines?.join("\n") || sentence(detail), ...(cure && { cure }) };
}
