// Why a job failed, in people's words, and what one click can change.

import type { Job } from "$/api/types";

export interface Cure {
  title: string;
  /** Options of the next attempt that differ from this one's; null to go on from where it stopped. */
  changes: Partial<Record<"training" | "model", object>> | null;
}

export interface Failure {
  title: string;
  advice: string;
  cures: Cure[];
}

const RETRY: Cure = { title: "Try again", changes: null };

type Spec = Job["spec"];
type Training = Spec["training"];

// No model begins with such a learning rate: a part of it is no better.
const LARGE = 0.5;

function withRate(training: Training, rate: number): Cure {
  const rounded = Number(rate.toPrecision(2));
  const changes = { training: { ...training, learning_rate: rounded, find_learning_rate: false } };
  return { title: `Run with learning rate ${rounded}`, changes };
}

// What is left out has the default of the model.
const withUsualRate = (training: Training): Cure => ({
  title: "Run with the usual learning rate",
  changes: { training: { ...training, learning_rate: null, find_learning_rate: null } },
});

const FAILURES: Record<string, (spec: Spec) => Failure> = {
  diverged: ({ training }) => ({
    title: "The training did not converge: its loss grew without limit.",
    advice: "A smaller learning rate usually mends it.",
    cures: [training.learning_rate > LARGE ? withUsualRate(training) : withRate(training, training.learning_rate / 4)],
  }),
  out_of_memory: ({ training }) => ({
    title: "The memory of the worker did not suffice.",
    advice: "A smaller batch needs less memory; a smaller model needs less still.",
    cures: [
      ...(training.batch_size >= 8
        ? [
            {
              title: `Run with batches of ${training.batch_size >> 1}`,
              changes: { training: { ...training, batch_size: training.batch_size >> 1 } },
            },
          ]
        : []),
      RETRY,
    ],
  }),
  storage_full: () => ({
    title: "The disk of the service is full.",
    advice: "Delete jobs or datasets that are no longer needed, then try again.",
    cures: [RETRY],
  }),
  worker_lost: () => ({
    title: "The worker stopped several times while it computed this job.",
    advice: "It may have run out of memory. A smaller model or batch helps; its log has the reason.",
    cures: [RETRY],
  }),
  upstream: () => ({
    title: "The labelling tool could not be read.",
    advice: "Check that it runs and that the token still holds, then try again.",
    cures: [RETRY],
  }),
  internal: () => ({
    title: "Something unexpected went wrong in the service.",
    advice: "Try again. If it fails in the same way, the log of the worker has the details: please report them.",
    cures: [RETRY],
  }),
  invalid: () => ({
    title: "The data and the options do not fit each other.",
    advice: "Start another job with other options.",
    cures: [],
  }),
};

/** What to say of a failed job; an unknown code says what the service says. */
export function failureOf(job: Pick<Job, "error" | "spec">): Failure {
  const known = FAILURES[job.error?.code ?? "internal"];
  return known?.(job.spec) ?? { title: "The job failed.", advice: "", cures: [RETRY] };
}
