// What was read of a chosen file: its columns, classes and warnings, and how the client corrects them before a job starts.

import { upload } from "/web/api.js";
import { at, attempt, button, count, element, options, percent, plainly } from "/web/dom.js";

const USES = {
  label: "label", id: "sample name", split: "split", group: "group", input: "learn from", left_out: "leave out",
};
const KINDS = {
  numeric: "number", categorical: "category", boolean: "yes or no", datetime: "date", time: "time of day", text: "text",
};
const FIXED = { path: "place of the file", image: "image", embedding: "vector" };
const TAKEN = ["id", "split", "group", "left_out"];
const ONE_EACH = ["label", "id", "split", "group"];
const MODALITIES = {
  tabular: "a table", image: "images", text: "texts", embedding: "embeddings", trace: "a recorded training", predictions: "predictions",
};
const FIRST = 100;
const CLASSES = 20;

let file = null;
let spec = {};
let info = null;
let rows = [];
let running = new AbortController();
let standing = () => {};

/** Set up the panel; `told` is called whenever a file becomes ready for a job, or is not ready any more. */
export function start(told) {
  standing = told;
  at("again").addEventListener("click", () => attempt(() => read(file, corrected())));
  at("label-name").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    at("again").click();
  });
  for (const id of ["missing", "decimal", "day-first", "label-name"]) at(id).addEventListener("input", change);
}

/** The dataset of the chosen file, or null while it is not read as the panel shows it. */
export const dataset = () => info;

/** Upload a file, with what is known of it, and show what was read. */
export async function read(chosen, given = {}) {
  running.abort();
  running = new AbortController();
  if (chosen !== file) {
    rows = [];
    at("reading").hidden = true;
    for (const id of ["missing", "decimal", "day-first", "label-name"]) at(id).value = "";
  }
  [file, spec, info] = [chosen, given, null];
  standing();
  const body = new FormData();
  body.append("spec", JSON.stringify(spec));
  body.append("file", file);
  at("uploading").hidden = false;
  progress(0);
  try {
    info = await upload("/datasets", body, progress, running.signal);
    at("uploading").hidden = true;
    show();
  } catch (error) {
    if (error.name === "AbortError") return;
    at("uploading").hidden = true;
    refuse(error.problem ?? {});
    error.message = plainly(error.message.replace(/^spec: \w+: /gm, ""));
    throw error;
  } finally {
    standing();
  }
}

function progress(share) {
  const sent = share >= 1;
  at("upload-text").textContent = sent ? `Reading ${file.name}…` : `Uploading ${file.name}: ${percent(share)}`;
  if (sent) at("upload-bar").removeAttribute("value");
  else at("upload-bar").value = share;
}

function show() {
  at("reading").hidden = false;
  at("question").hidden = true;
  at("label-name").value = "";
  at("pending").textContent = "";
  at("reading-title").textContent = `What was read of ${info.name}`;
  const skipped = info.skipped_rows ? `, ${count(info.skipped_rows)} left out` : "";
  at("reading-facts").textContent =
    `${count(info.rows)} samples${skipped}, as ${MODALITIES[info.modality]} (${info.inferred.format}).`;
  const classes = Object.entries(info.class_counts);
  at("classes-title").textContent = `${count(classes.length)} classes`;
  at("classes").replaceChildren(
    ...classes.slice(0, CLASSES).map(([name, number]) => element("li", {}, `${name} `, element("b", {}, count(number)))),
    ...(classes.length > CLASSES ? [element("li", {}, `and ${count(classes.length - CLASSES)} more`)] : []),
  );
  at("classes-part").hidden = false;
  const groups = info.inferred.group_candidates ?? [];
  const warnings = info.warnings.filter(({ code }) => !(code === "group_left_out" && groups.length));
  at("reading-warnings").replaceChildren(...warnings.map(warning), ...groups.map(belonging));
  rows = info.columns.map((column) => row(column));
  columns(FIRST);
  const kinds = new Set(info.columns.map((column) => column.kind));
  at("decimal-field").hidden = !(/^(csv|tsv|text)/i.test(info.inferred.format) && info.columns.length);
  at("day-first-field").hidden = !kinds.has("datetime");
  at("missing-field").hidden = !info.columns.length;
}

function columns(most) {
  at("columns-part").hidden = rows.length === 0;
  at("columns").replaceChildren(...rows.slice(0, most).map((one) => one.drawn));
  at("all-columns").replaceChildren(
    ...(rows.length > most ? [button(`Show all ${count(rows.length)} columns`, () => columns(rows.length))] : []),
  );
}

// A warning in the client's words; what the page can do about it is a button in place of the advice to send a field.
function warning({ code, detail }) {
  const merges = code === "similar_labels" ? alike(Object.keys(info.class_counts)) : [];
  const merge = (group) =>
    button(`Merge into ${group[0]}`, () =>
      read(file, { ...corrected(), merge_labels: { ...spec.merge_labels, [group[0]]: [...(spec.merge_labels?.[group[0]] ?? []), ...group.slice(1)] } }),
    );
  return element("li", {}, plainly(detail), ...merges.flatMap((group) => [" ", merge(group)]));
}

function belonging(name) {
  const say =
    `Samples with the same ${name} may belong together, like those of one patient; it is not learnt from. ` +
    "Kept together, they do not vouch for each other. ";
  return element("li", {}, say, button(`Keep each ${name} together`, () => read(file, { ...corrected(), group: name })));
}

/** Groups of classes that differ in case, spaces or invisible characters alone; the most frequent of each comes first. */
function alike(names) {
  const groups = new Map();
  for (const name of names.sort((one, other) => info.class_counts[other] - info.class_counts[one])) {
    const text = name.normalize("NFKC").replace(/\p{Cf}/gu, "").trim();
    const folded = text && !Number.isNaN(Number(text)) ? String(Number(text)) : text.toLowerCase().replace(/[\s_-]+/g, " ");
    groups.set(folded, [...(groups.get(folded) ?? []), name]);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

function row(column) {
  const made = { column, use: column.role, kind: column.kind };
  const gaps = [
    column.missing && `${count(column.missing)} missing`,
    column.unreadable && `${count(column.unreadable)} not readable`,
  ].filter(Boolean);
  const movable = column.role in USES && column.kind !== "image";
  const uses = movable && select(USES, made.use, `Use of ${column.name}`, (value) => move(made, value));
  made.uses = uses;
  const kind =
    movable &&
    column.kind in KINDS &&
    select(KINDS, made.kind, `Kind of ${column.name}`, (value) => change((made.kind = value)));
  made.kinds = kind;
  settle(made);
  made.drawn = element(
    "tr",
    {},
    element("th", { scope: "row", textContent: column.name }),
    element("td", {}, uses || FIXED[column.role] || "learn from"),
    element("td", {}, kind || FIXED[column.kind] || "–"),
    element("td", { className: "why", textContent: plainly(column.why) }),
    element("td", { textContent: gaps.join(", ") || "none" }),
    element("td", { className: "examples" }, ...column.examples.map((text) => element("span", { textContent: text }))),
  );
  return made;
}

function select(names, value, label, changed) {
  const made = element("select", { "aria-label": label }, ...options(Object.entries(names)));
  made.value = value;
  made.addEventListener("change", () => changed(made.value));
  return made;
}

// Only one column is the label, the sample name, the split or the group: another that was is learnt from instead.
function move(moved, use) {
  for (const one of rows)
    if (one !== moved && one.use === use && ONE_EACH.includes(use)) one.uses.value = one.use = "input";
  moved.use = use;
  rows.forEach(settle);
  change();
}

// Only of what is learnt from the kind matters.
function settle(one) {
  if (one.kinds) one.kinds.disabled = one.use !== "input";
}

function change() {
  info = null;
  at("pending").textContent = "Read the file again to use these changes.";
  standing();
}

/** The description of the file that the panel shows: what was said before, and what is changed in it. */
function corrected() {
  const made = { ...spec };
  for (const use of ONE_EACH) {
    const [now] = rows.filter((one) => one.use === use);
    if (!rows.length) continue;
    if (now && (now.column.role !== use || spec[use])) made[use] = spec[use] ?? now.column.name;
    if (now && now.column.role !== use) made[use] = now.column.name;
    if (!now) delete made[use];
  }
  const named = (use) => rows.filter((one) => one.use === use).map((one) => one.column.name);
  const away = rows.filter((one) => one.use === "left_out" && one.column.role !== "left_out").map((one) => one.column.name);
  const exclude = [...(spec.exclude ?? []), ...away].filter((name) => named("left_out").includes(name));
  if (rows.length) Object.assign(made, { exclude });
  // A column that was taken for something else, or left out, is learnt from when it is named.
  if (spec.features || rows.some((one) => one.use === "input" && TAKEN.includes(one.column.role))) made.features = named("input");
  for (const one of rows)
    if (one.kind !== one.column.kind && one.use === "input") made.kinds = { ...made.kinds, [one.column.name]: one.kind };
  if (at("label-name").value.trim()) made.label = at("label-name").value.trim();
  const missing = at("missing").value.split(",").map((text) => text.trim()).filter(Boolean);
  if (missing.length) made.missing = missing;
  else delete made.missing;
  if (at("decimal").value) made.decimal = at("decimal").value;
  else delete made.decimal;
  if (at("day-first").value) made.day_first = at("day-first").value === "day";
  else delete made.day_first;
  return made;
}

// A file that cannot be read without knowing its label: the columns that may be it are offered.
function refuse({ errors = [], label_candidates: candidates = [] }) {
  at("reading").hidden = false;
  at("pending").textContent = "";
  if (!rows.length) {
    at("reading-title").textContent = `${file.name} could not be read yet`;
    at("reading-facts").textContent = "";
    at("reading-warnings").replaceChildren();
    at("classes-part").hidden = true;
    at("columns-part").hidden = true;
  }
  const asked = candidates.length > 0 || errors.some((fault) => fault.loc.includes("label"));
  at("question").hidden = !asked;
  at("candidates").replaceChildren(
    ...candidates.map((one) => {
      const names = [one].flat();
      return button(names.join(", "), () => read(file, { ...corrected(), label: one }));
    }),
  );
  if (asked) at("question").scrollIntoView({ block: "nearest" });
}
