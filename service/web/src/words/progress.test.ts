import { expect, test } from "vitest";
import { detailOf, progressOf } from "./progress";

const at = (detail: string) => ({ fraction: 0.42, phase: "training", detail, eta_seconds: 40 });

test("progress is said in words, with the time that is left", () => {
  expect(progressOf({ state: "training", progress: at("epoch 4/10") })).toBe(
    "Training, 42 %, epoch 4 of 10, about 40 s left",
  );
});

test("what only the authors understand is left out", () => {
  expect(detailOf(at("measuring influence"))).toBe("");
  expect(detailOf(at("pulling tasks 10/200"))).toBe("Pulling tasks 10 of 200");
});
