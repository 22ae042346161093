import { expect, test } from "vitest";
import { modelOf, trainedModel } from "./models";

const model = { name: "pretrained_text", params: {} };
const fallback = (used: boolean | null) => ({ model: { name: "text_cnn" }, used }) as never;

test("an open choice names both models, a made one the model that is trained", () => {
  expect(modelOf({ model, fallback: fallback(null) })).toBe(
    "Pretrained text network, or Text CNN where none is installed",
  );
  expect(modelOf({ model, fallback: fallback(false) })).toBe("Pretrained text network");
  expect(modelOf({ model: { name: "text_cnn", params: {} }, fallback: fallback(true) })).toBe("Text CNN");
  expect(modelOf({ model: { name: "mlp", params: { trees: false } }, fallback: null })).toBe("MLP");
});

test("trees that answer beside a network are named", () => {
  expect(trainedModel({ name: "mlp", params: { trees: true } })).toBe("MLP with trees");
});
