// Parts of a job: the tabs of its page. Each gets `followed`, the job as it stands.

import type { Component } from "svelte";
import type { FollowedJob } from "$/state/job.svelte";

export type Part = Component<{ followed: FollowedJob }>;

export const PARTS: Record<string, { title: string; load: () => Promise<{ default: Part }> }> = {
  suspects: { title: "Suspects", load: () => import("$/views/review/Review.svelte") },
  audit: { title: "Count", load: () => import("$/views/audit/Audit.svelte") },
  understand: { title: "Understand", load: () => import("$/views/understand/Understand.svelte") },
  groups: { title: "Groups", load: () => import("$/views/groups/Groups.svelte") },
  verify: { title: "Verify", load: () => import("$/views/groups/Verify.svelte") },
  training: { title: "Training", load: () => import("$/views/job/Training.svelte") },
  changes: { title: "Before and after", load: () => import("$/views/compare/Changes.svelte") },
};
