// Requests about reviews.

import { api, data, request } from "./client";
import type { components } from "./schema";

export type Decision = components["schemas"]["Decision"];
export type ReviewSummary = components["schemas"]["ReviewSummary"];

export interface BulkRequest {
  filter: Record<string, unknown>;
  decision: "relabel" | "keep" | "remove" | "unsure";
  label?: string | null;
  reviewer?: string | null;
  dry_run?: boolean;
}

export const postReviews = (id: string, decisions: Decision[]): Promise<{ recorded: number; batch?: string }> =>
  data(api.POST("/jobs/{job_id}/reviews", { params: { path: { job_id: id } }, body: decisions }));

export const getReviewSummary = (id: string): Promise<ReviewSummary> =>
  data(
    api.GET("/jobs/{job_id}/reviews/summary", { params: { path: { job_id: id }, query: { signal: ["mislabeled"] } } }),
  );

const post = async (path: string, body: unknown): Promise<unknown> => {
  const headers = { "Content-Type": "application/json" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
};

/** Decides on every sample that a filter matches; with `dry_run` only counts them. */
export const decideOnAll = (id: string, body: BulkRequest) =>
  post(`/jobs/${id}/reviews/bulk`, body) as Promise<{ matched: number; written: number; batch: string | null }>;

export const undoBatch = (id: string, batch: string) => post(`/jobs/${id}/reviews/undo`, { batch });

export type StoredReview = components["schemas"]["Review"];

/** Every decision that was made on a sample in a job, oldest first. */
export const listReviewsOf = async (id: string, sample: string): Promise<StoredReview[]> => {
  const query = new URLSearchParams({ sample_id: sample, limit: "100" });
  return (await (await request(`/jobs/${id}/reviews?${query}`)).json()).items;
};
