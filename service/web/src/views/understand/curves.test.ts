import { expect, test } from "vitest";
import { onOneGrid } from "./curves";

test("each recall has the precision of the shortest list that reaches it", () => {
  const points = [
    { flagged: 1, precision: 1, recall: 0.25 },
    { flagged: 4, precision: 0.75, recall: 0.75 },
    { flagged: 20, precision: 0.2, recall: 1 },
  ];
  const [recalls, precisions] = onOneGrid([{ signal: "a", points }]);
  expect(recalls?.length).toBe(51);
  expect(precisions?.[0]).toBe(1);
  expect(precisions?.[20]).toBe(0.75); // recall 0.4
  expect(precisions?.[50]).toBe(0.2);
});
