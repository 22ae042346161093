import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { deviation, type FeatureProfile } from "./deviations";

const age: FeatureProfile = {
  kind: "numeric",
  levels: [0, 0.01, 0.05, 0.5, 0.95, 0.99, 1],
  quantiles: [17, 18, 20, 40, 60, 70, 90],
  samples: 1000,
};
const job: FeatureProfile = {
  kind: "categorical",
  shares: { clerk: 0.7, nurse: 0.26, pilot: 0.03, baker: 0.004 },
  other: 0.006,
  samples: 1000,
};

test("a number in the middle of its class does not deviate", () => {
  expect(deviation(age, 40, "poor", "age")).toBeNull();
  expect(deviation(age, 58, "poor", "age")).toBeNull();
});

test("a number in a tail deviates, and more so further out", () => {
  expect(deviation(age, 65, "poor", "age")).toMatchObject({ strength: 1 });
  expect(deviation(age, 91, "poor", "age")).toEqual({
    strength: 2,
    text: "age 91 is higher than in all others labelled poor",
  });
  expect(deviation(age, 17.5, "poor", "age")?.text).toMatch(
    /^age 17.5 is lower than in 99\.\d % of those labelled poor$/,
  );
});

test("a category deviates where it is rare in its class", () => {
  expect(deviation(job, "nurse", "poor", "job")).toBeNull();
  expect(deviation(job, "pilot", "poor", "job")).toEqual({
    strength: 1,
    text: "Only 3 % of those labelled poor have job = pilot",
  });
  expect(deviation(job, "baker", "poor", "job")).toMatchObject({ strength: 2 });
});

test("nothing is rare in a class of few samples, whose number is that of the report", () => {
  const [, fewest] = /^_FEWEST = (\d+)/m.exec(readFileSync("../report/deviations.py", "utf8")) ?? [];
  const samples = Number(fewest);
  for (const [profile, value] of [
    [age, 91],
    [job, "baker"],
  ] as const) {
    expect(deviation({ ...profile, samples: samples - 1 }, value, "poor", "it")).toBeNull();
    expect(deviation({ ...profile, samples }, value, "poor", "it")).not.toBeNull();
  }
});

test("of a value of which nothing is known nothing is said", () => {
  expect(deviation(undefined, 3, "poor", "age")).toBeNull();
  expect(deviation(age, null, "poor", "age")).toBeNull();
  expect(deviation({ kind: "numeric", levels: [0, 1], quantiles: [3, 3], samples: 1000 }, 3, "poor", "age")).toBeNull();
});

test("a value that many of a class have is not rare, though it is the highest", () => {
  const gain: FeatureProfile = { kind: "numeric", levels: [0, 0.5, 0.9, 1], quantiles: [0, 0, 0, 5000], samples: 1000 };
  expect(deviation(gain, 0, "poor", "gain")).toBeNull();
});
