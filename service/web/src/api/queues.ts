// Requests about the queues of a job: groups that stand apart, samples to verify.

import { api, data } from "./client";
import type { components } from "./schema";
import type { Review } from "./types";

type Schemas = components["schemas"];
export type Group = Schemas["GroupView"];
export type Part = Schemas["GroupPart"];
export type Candidate = Schemas["Candidate"];

const MOST = 1_000;

export const listGroups = (id: string) => data(api.GET("/jobs/{job_id}/groups", { params: { path: { job_id: id } } }));

/** Both halves of a label; of a job of an earlier version the tighter one, of which no more is known. */
export const halvesOf = ({ parts, size, sample_ids, previews }: Group): Part[] =>
  parts?.length ? parts : [{ part: "tighter", size, sample_ids, previews, is_smaller: false, leans_to: null, lean: 0 }];

export const listProposals = (id: string, count: number) =>
  data(api.GET("/jobs/{job_id}/verify-next", { params: { path: { job_id: id }, query: { count } } }));

/** The latest decision on each sample of the job. */
export async function listDecisions(id: string): Promise<Map<string, Pick<Review, "decision" | "label">>> {
  const latest = new Map<string, Pick<Review, "decision" | "label">>();
  for (let cursor: string | null | undefined; cursor !== null;) {
    const query: { limit: number; cursor?: string } = { limit: MOST, ...(cursor && { cursor }) };
    const page = await data(api.GET("/jobs/{job_id}/reviews", { params: { path: { job_id: id }, query } }));
    for (const { sample_id: sample, decision, label } of page.items) {
      if (decision === "withdraw") latest.delete(sample);
      else latest.set(sample, { decision, label });
    }
    cursor = page.next;
  }
  return latest;
}

/** How many samples of a dataset people have verified. */
export const countVerified = async (dataset: string): Promise<number> =>
  (
    await data(
      api.GET("/datasets/{dataset_id}/verified", { params: { path: { dataset_id: dataset }, query: { limit: 1 } } }),
    )
  ).total;
