import { expect, test } from "vitest";
import { alike, corrected, moved, NO_ANSWERS, rowsOf, type Column } from "./reading";

const column = (name: string, role: string, kind: string): Column =>
  ({ name, role, kind, why: "", missing: 0, unreadable: 0, examples: [] }) as unknown as Column;
const columns = [
  column("animal", "label", "categorical"),
  column("weight", "input", "numeric"),
  column("number", "id", "numeric"),
  column("note", "left_out", "text"),
];

test("what was read stands when nothing is changed", () => {
  expect(corrected({}, rowsOf(columns), NO_ANSWERS)).toEqual({ exclude: [] });
  expect(corrected({ label: "animal" }, rowsOf(columns), NO_ANSWERS)).toEqual({ label: "animal", exclude: [] });
});

test("another label takes the place of the first, which is learnt from", () => {
  const rows = moved(rowsOf(columns), 1, "label");
  expect(rows.map(({ use }) => use)).toEqual(["input", "label", "id", "left_out"]);
  expect(corrected({}, rows, NO_ANSWERS).label).toBe("weight");
});

test("only one column says who labelled, and the former is learnt from when its use changes", () => {
  const rows = rowsOf([...columns, column("checked_by", "annotator", "categorical")]);
  expect(corrected({}, rows, NO_ANSWERS).annotator).toBeUndefined();
  const other = corrected({}, moved(rows, 3, "annotator"), NO_ANSWERS);
  expect([other.annotator, other.features]).toEqual(["note", ["weight", "checked_by"]]);
});

test("a column that is learnt from although it was left out is named, with the others", () => {
  expect(corrected({}, moved(rowsOf(columns), 3, "input"), NO_ANSWERS).features).toEqual(["weight", "note"]);
});

test("a column that is left out is named, and no more once it is learnt from", () => {
  const out = corrected({}, moved(rowsOf(columns), 1, "left_out"), NO_ANSWERS);
  expect(out.exclude).toEqual(["weight"]);
  expect(corrected(out, rowsOf(columns), NO_ANSWERS).exclude).toEqual([]);
});

test("answers about the file are said, and taken back when they are empty", () => {
  const said = corrected({}, [], {
    ...NO_ANSWERS,
    labelName: " y ",
    missing: "-999, ,?",
    decimal: ",",
    dayFirst: "month",
  });
  expect(said).toEqual({ label: "y", missing: ["-999", "?"], decimal: ",", day_first: false });
  expect(corrected(said, [], NO_ANSWERS)).toEqual({ label: "y" });
});

test("without names in the first line, nothing is kept that was said of named columns", () => {
  const spec = { label: "weight", exclude: ["note"] };
  const bare = corrected(spec, rowsOf(columns), { ...NO_ANSWERS, header: "sample" });
  expect(bare).toEqual({ header: false });
  expect(corrected(bare, rowsOf(columns), NO_ANSWERS)).toEqual({});
  expect(corrected(spec, [], { ...NO_ANSWERS, header: "names" })).toEqual({ ...spec, header: true });
});

test("classes that differ in case, spaces or zeros alone are alike", () => {
  expect(alike({ cat: 5, "Cat ": 9, dog: 3, "1": 2, "1.0": 4, "": 1 })).toEqual([
    ["Cat ", "cat"],
    ["1.0", "1"],
  ]);
});
