// Panels that several views open. A view imports no other view: it loads them here.

import type { Component } from "svelte";
import type { Decided, Decisions } from "$/state/decisions.svelte";
import type { Kind } from "$/words/verdicts";
import type { FollowedJob } from "$/state/job.svelte";

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

export const loadSamplePanel = (): Promise<{ default: Component<SampleProps> }> =>
  import("$/views/sample/SamplePanel.svelte");
