import { describe, expect, it } from "vitest";
import { pushed, undone } from "./tools";

const TOLD = {
  mode: "tab",
  dry_run: false,
  project: 7,
  model_version: "suspects job_1",
  predictions: 24,
  written: 24,
  replaced: 0,
  detailed: 24,
  missing: 0,
  unwritable: 0,
  view: 1,
  review_project: null,
  suspects: 0,
  model_version_before: null,
  events: null,
  url: "http://tool/projects/7",
} as const;

describe("what was sent to a labelling tool", () => {
  it("counts suggestions, and suspects where these go somewhere", () => {
    expect(pushed(TOLD)).toEqual(["Sent: 24 suggestions."]);
    expect(pushed({ ...TOLD, mode: "requeue", suspects: 1 })).toEqual([
      "Sent: 24 suggestions, 1 suspect back in the queue.",
    ]);
  });
  it("tells what a trial would do", () => {
    expect(pushed({ ...TOLD, mode: "review_project", suspects: 5, dry_run: true })[0]).toBe(
      "This would be sent: 24 suggestions, 5 suspects in the project to review.",
    );
  });
  it("says what was there already and what was left out", () => {
    expect(pushed({ ...TOLD, written: 0, missing: 2, unwritable: 1 }).slice(1)).toEqual([
      "The suggestions were there already.",
      "2 tasks left out, no longer in the project.",
      "1 task left out, as the project no longer has the suggested class.",
    ]);
  });
  it("says what became of the queue", () => {
    expect(undone({ restored: 5, kept: 0 })).toBe("5 tasks taken out of the queue again.");
    expect(undone({ restored: 4, kept: 1 })).toContain(
      "1 task left as it is, because somebody has worked on it since.",
    );
    expect(undone({ restored: 0, kept: 0 })).toBe("Nothing of this job is back in the queue.");
  });
});
