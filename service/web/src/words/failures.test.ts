import { expect, test } from "vitest";
import type { Job } from "$/api/types";
import { failureOf } from "./failures";

const failed = (code: string, learning_rate: number): Pick<Job, "error" | "spec"> => ({
  error: { code, detail: "" },
  spec: { training: { learning_rate, batch_size: 64 } } as Job["spec"],
});

test("a training that diverged is offered a smaller rate, or the usual one instead of a wild one", () => {
  expect(failureOf(failed("diverged", 0.08)).cures[0]?.title).toBe("Run with learning rate 0.02");
  expect(failureOf(failed("diverged", 100)).cures[0]).toMatchObject({
    title: "Run with the usual learning rate",
    changes: { training: { learning_rate: null } },
  });
});

test("a failure that nobody foresaw can be tried again", () => {
  expect(failureOf(failed("something_new", 0.1)).cures).toEqual([{ title: "Try again", changes: null }]);
});
