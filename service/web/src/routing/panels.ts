// Panels that several views open. A view imports no other view: it loads them here.

import type { Component, Snippet } from "svelte";
import type { Job, JobSample } from "$/api/types";
import type { Decided, Decisions } from "$/state/decisions.svelte";
import type { FollowedJob } from "$/state/job.svelte";
import type { ReviewQueue } from "$/state/queue.svelte";
import type { Kind } from "$/words/verdicts";

export interface SampleProps {
  followed: FollowedJob;
  id: string;
  decisions: Decisions;
  signals: { name: string; title: string; high: string }[];
  /** "3 of 89", where the sample is in a list. */
  position?: string;
  onprevious?: () => void;
  onnext?: () => void;
  /** Gets the sample when it is there. */
  onshown: (sample: Decided) => void;
  onclose: () => void;
  onvisit: (id: string) => void;
  ondecide: (sample: Decided, kind: Kind, label?: string) => void;
  onundo: () => void;
}

export const loadSamplePanel = (): Promise<{ default: Component<SampleProps, { chooseClass: () => void }> }> =>
  import("$/views/sample/SamplePanel.svelte");

export interface StageProps {
  sample: JobSample;
  job: Job;
  /** Nothing is shown but the sample itself. */
  isBlind?: boolean;
  onvisit: (id: string) => void;
}

/** A sample and the evidence about it, as large as there is room. */
export const loadStage = (): Promise<{ default: Component<StageProps> }> => import("$/views/sample/Stage.svelte");

/** A sample that a queue asks about. */
export interface Asked {
  id: string;
  given: string;
  suggested: string;
  confidence: number;
  /** Why it is asked about, where that is told. */
  why?: string;
  media: string | null;
}

export interface QueueProps {
  job: Job;
  queue: ReviewQueue;
  items: Asked[];
  /** What is done, where that is not what anybody has decided on. */
  isDone?: (id: string) => boolean;
  /** More items come as they are needed: how many there are in all is not known. */
  isOpenEnded?: boolean;
  /** What the model says of a sample is hidden until the decision on it. */
  isBlind?: boolean;
  /** Called with the place that is shown. */
  onplace?: (place: number) => void;
  intro?: Snippet;
  done: Snippet;
}

export const loadQueue = (): Promise<{ default: Component<QueueProps> }> => import("$/views/queue/Queue.svelte");
