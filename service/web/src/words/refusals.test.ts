import { expect, test } from "vitest";
import { plainly, refusalOf } from "./refusals";

test("advice to send a field is no part of a text of the page", () => {
  expect(plainly("It is guessed; name it as spec.label.")).toBe("It is guessed");
  expect(plainly("spec.id names it")).toBe("as you said");
  expect(plainly("left out: told; it is a copy; name it in spec.features to learn from it")).toBe(
    "left out: told; it is a copy; choose “Learn from” to use it",
  );
  expect(plainly("left out: ward; it says more; name it as spec.group, or in spec.features to learn from it")).toBe(
    "left out: ward; it says more",
  );
  expect(plainly("Where they are, name them in spec.exclude")).toBe("Where they are, choose “Leave out” for them");
});

test("a kind of file that cannot be read says what it is, what to use, and what else there is", () => {
  const detail =
    "no reader takes 'it's 'a'.pdf'. It is PDF. Readable: Parquet; exports (COCO; in a ZIP beside their images).";
  const { title, detail: said, cure, readable } = refusalOf({ code: "unreadable_type", detail });
  expect(title).toBe("This kind of file cannot be read");
  expect(said).toBe("It is PDF.");
  expect(cure).toMatch(/^Use a table/);
  expect(readable).toBe("Parquet; exports (COCO; in a ZIP beside their images).");
});

test("a fault is a sentence that says where it is, once", () => {
  const said = (code: string, loc: string[], msg: string): string =>
    refusalOf({ code, detail: msg, errors: [{ loc, msg }] }).detail;
  expect(said("invalid", ["file"], "the file is empty")).toBe("The file is empty.");
  expect(said("malformed", ["file", "line 1"], "line 1 is not JSON")).toBe("Line 1 is not JSON.");
  expect(said("invalid", ["file", "column y"], "the label column 'y' has only the class 'x'")).toBe(
    "The label column 'y' has only the class 'x'.",
  );
  expect(said("invalid", ["file", "c/a.png"], "not an image")).toBe("c/a.png: Not an image.");
  expect(said("invalid", ["spec", "label"], "no column 'y'; the file has a, b")).toBe(
    "No column 'y'; the file has a, b.",
  );
});

test("an answer without a known reason is said as it is", () => {
  expect(refusalOf({ detail: "no answer" })).toEqual({
    title: "This file cannot be used as it is",
    detail: "No answer.",
  });
});
