import { expect, test } from "vitest";
import { pieces } from "./highlight";
import { areWordsKnown, frequencyText, listed, typicalIn, type TypicalWords } from "./typical";

const frequency = { share: 0.3, elsewhere: 0.02 };
const words = (classes: Record<string, string[]>): TypicalWords =>
  new Map(Object.entries(classes).map(([label, all]) => [label, new Map(all.map((word) => [word, frequency]))]));
const news = words({ sport: ["goal", "match"], money: ["bank", "match"], stage: [] });
const sides = (text: string, given: string, suggested: string | null = null, known = news) =>
  typicalIn(text, known, given, suggested).map(({ start, end, side }) => [text.slice(start, end), side]);

test("a word speaks for the label that it is typical of, whatever its case", () => {
  expect(sides("The Bank scored a GOAL.", "sport", "money")).toEqual([
    ["Bank", "suggested"],
    ["GOAL", "given"],
  ]);
});

test("a word that is typical of both labels speaks for neither", () => {
  expect(sides("match goal", "sport", "money")).toEqual([["goal", "given"]]);
  expect(sides("match goal", "sport", "stage")).toHaveLength(2);
});

test("where no other label is suggested, words of the given one are marked", () => {
  expect(sides("goal bank", "sport", "sport")).toEqual([["goal", "given"]]);
  expect(sides("goal bank", "sport")).toEqual([["goal", "given"]]);
});

test("parts of words are not marked", () => {
  expect(sides("goalkeeper banker", "sport", "money")).toEqual([]);
});

test("words are whole in scripts with marks, and found between signs that have no spaces", () => {
  const known = words({ sport: ["तुम्हारे", "fifa", "größe", "go"], money: [] });
  expect(sides("तुम्हारे साथ", "sport", null, known)).toEqual([["तुम्हारे", "given"]]);
  expect(sides("昨日FIFAの試合", "sport", null, known)).toEqual([["FIFA", "given"]]);
  expect(sides("Größe, go!", "sport", null, known)).toHaveLength(2);
  expect(sides("我昨天看了足球比赛 ฉันชอบดูฟุตบอล", "sport", null, words({ sport: ["足球", "ฟุตบอล"] }))).toEqual([]);
});

test("without words nothing is marked", () => {
  expect(typicalIn("goal", undefined, "sport", "money")).toEqual([]);
  expect(sides("goal", "stage")).toEqual([]);
  expect(areWordsKnown(words({ sport: [] }))).toBe(false);
  expect(areWordsKnown(news)).toBe(true);
});

test("what a search found and what is typical are marked together, and the text stays whole", () => {
  const text = "A goal for the bank, a goal.";
  const found = pieces(text, "goal for", typicalIn(text, news, "sport", "money"));
  expect(found.map((one) => one.text).join("")).toBe(text);
  expect(found.filter(({ isHit, side }) => isHit || side)).toEqual([
    { text: "goal", isHit: true, side: "given" },
    { text: " for", isHit: true, side: null },
    { text: "bank", isHit: false, side: "suggested" },
    { text: "goal", isHit: false, side: "given" },
  ]);
});

test("each word is listed once, the most telling first", () => {
  const known: TypicalWords = new Map([
    [
      "sport",
      new Map([
        ["goal", { share: 0.2, elsewhere: 0.1 }],
        ["match", { share: 0.2, elsewhere: 0 }],
      ]),
    ],
  ]);
  const found = listed(typicalIn("goal Goal match goal", known, "sport", null), "given");
  expect(found.map(({ word }) => word)).toEqual(["match", "goal"]);
});

test("how frequent a word is, is said for both sides", () => {
  expect(frequencyText(frequency, "sport")).toBe("in 30 % of the texts labelled sport, in 2 % of the others");
  expect(frequencyText({ share: 1, elsewhere: 0 }, "sport")).toBe(
    "in 100 % of the texts labelled sport, in none of the others",
  );
});
