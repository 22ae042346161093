import { expect, test } from "vitest";
import {
  adviceOf,
  answerWords,
  basis,
  decisionWords,
  goalOf,
  goalText,
  goalTitle,
  moreWords,
  numbersIn,
} from "./audit";

const audit = {
  samples: 5_000,
  found: 86,
  unsure: 0,
  wrong: { estimate: 110.2, low: 96, high: 131 },
  reviewed: { drawn: 150, other: 60 },
  recall_at_least: 0.719,
};
const running = { reached: false, refused: false, expected_more_reviews: 138 };

test("the answer says what was found, what there is, and how much of it that is at least", () => {
  expect(answerWords(audit)).toBe("86 wrong labels found; between 96 and 131 in all; you have found at least 71 %.");
  expect(answerWords({ ...audit, found: 1, recall_at_least: null })).toBe(
    "1 wrong label found; between 96 and 131 in all.",
  );
});

test("a share is never rounded up, but a whole one stays whole", () => {
  const words = (recall: number): string => answerWords({ ...audit, recall_at_least: recall });
  expect(words(0.8999)).toContain("at least 89 %");
  expect(words(0.29)).toContain("at least 29 %");
  expect(words(0.0099)).not.toContain("at least");
  expect(words(0.9999)).toContain("at least 99 %");
  expect(words(1)).toBe("86 wrong labels found: all there are.");
});

test("before a drawn sample was reviewed no number is given but what was found", () => {
  const none = { ...audit, wrong: { estimate: null, low: 3, high: 4_900 }, reviewed: { drawn: 0, other: 9 } };
  expect(answerWords({ ...none, found: 3 })).toBe(
    "3 wrong labels found so far. How many there are in all is not measured yet.",
  );
  expect(answerWords({ ...none, found: 0 })).toBe("");
});

test("when every label was reviewed the number is exact", () => {
  const all = { ...audit, reviewed: { drawn: 4_000, other: 1_000 } };
  expect(answerWords(all)).toBe("Every label was reviewed: 86 are wrong of 5,000.");
  expect(answerWords({ ...all, found: 1 })).toBe("Every label was reviewed: 1 is wrong of 5,000.");
  expect(answerWords({ ...all, found: 0 })).toBe("Every label was reviewed: none is wrong of 5,000.");
});

test("a goal is read as it is written, and what is none measures", () => {
  for (const text of ["measure", "recall:0.9", "remaining:0.01", "accept:0.005", "recall:0.29", "recall:1"])
    expect(goalText(goalOf(text))).toBe(text);
  for (const text of [null, "", "all", "recall2:0.5"]) expect(goalText(goalOf(text))).toBe("measure");
  expect(goalText(goalOf("recall:0"))).toBe("recall:0.9");
  expect(goalText(goalOf("recall:7"))).toBe("recall:1");
  expect(goalTitle(goalOf("recall:0.29"))).toBe("Find at least 29 % of the wrong ones");
});

test("what is still to be done is about as many reviews as are expected", () => {
  expect(moreWords(goalOf("recall:0.9"), running, audit)).toBe("About 140 more reviews to be sure of 90 %.");
  expect(moreWords(goalOf("accept:0.01"), { ...running, expected_more_reviews: 1 }, audit)).toBe(
    "About 1 more review to decide.",
  );
  expect(moreWords(goalOf("accept:0.01"), { ...running, expected_more_reviews: null }, audit)).toBe(
    "More reviews are not expected to reach this goal.",
  );
  expect(moreWords(goalOf("measure"), { ...running, reached: true }, audit)).toBe("");
  expect(moreWords(goalOf("measure"), { ...running, expected_more_reviews: 4_700 }, audit)).toBe(
    "This goal takes reviews of nearly all labels.",
  );
});

test("it says to stop only when the goal is reached, and to refuse when too many are wrong", () => {
  expect(adviceOf(goalOf("recall:0.9"), running)).toBeUndefined();
  expect(adviceOf(goalOf("recall:0.9"), { ...running, reached: true })).toMatchObject({
    title: "You may stop",
    text: "At least 90 % of the wrong labels are found.",
  });
  expect(adviceOf(goalOf("accept:0.01"), { ...running, refused: true })?.title).toBe("More than 1 % is wrong: refuse");
});

test("it says on how many reviews the numbers rest", () => {
  expect(basis(audit)).toBe("Rests on 150 of 210 reviews: those of samples drawn by chance.");
  expect(basis({ ...audit, reviewed: { drawn: 1, other: 0 }, unsure: 1 })).toBe(
    "Rests on 1 review of samples drawn by chance. 1 unsure counts as not wrong.",
  );
});

test("every other part of a text is a number", () => {
  expect(numbersIn("86 found; 1,096 in all, at least 71 %.")).toEqual([
    "",
    "86",
    " found; ",
    "1,096",
    " in all, at least ",
    "71 %",
    ".",
  ]);
});

test("a decision is told as what it says of the label", () => {
  expect(decisionWords({ decision: "relabel", label: "cat" })).toBe("is cat");
  expect(decisionWords({ decision: "keep", label: null })).toBe("right as it is");
});
