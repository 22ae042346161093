import { expect, test } from "vitest";
import { commandOf } from "./keys";

test("k keeps, in either case, and is not a movement", () => {
  expect(commandOf({ key: "k" })).toEqual({ name: "decide", kind: "keep" });
  expect(commandOf({ key: "K", shiftKey: true })).toEqual({ name: "decide", kind: "keep" });
});

test("a key that is held with another decides nothing", () => {
  for (const held of ["ctrlKey", "metaKey", "altKey"]) expect(commandOf({ key: "x", [held]: true })).toBeNull();
});

test("digits name classes from 1", () => {
  expect(commandOf({ key: "9" })).toEqual({ name: "class", number: 9 });
  expect(commandOf({ key: "0" })).toBeNull();
});

test("Shift with an arrow extends the selection", () => {
  expect(commandOf({ key: "ArrowDown", shiftKey: true })).toMatchObject({ name: "move", by: "row", extend: true });
});
