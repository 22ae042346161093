import { expect, test } from "vitest";
import { toasts } from "./toasts.svelte";

test("the same message again is shown once, with what it undoes now", () => {
  const undone: string[] = [];
  toasts.say("2 samples kept", { title: "Undo", run: () => undone.push("first") });
  toasts.say("Undone");
  toasts.say("2 samples kept", { title: "Undo", run: () => undone.push("second") });
  expect(toasts.shown.map(({ text }) => text)).toEqual(["Undone", "2 samples kept"]);
  toasts.shown[1]?.action?.run();
  expect(undone).toEqual(["second"]);
});
