// Requests about reviews.

import { api, data } from "./client";
import type { components } from "./schema";

export type Decision = components["schemas"]["Decision"];
export type ReviewSummary = components["schemas"]["ReviewSummary"];

type Bulk = components["schemas"]["BulkReview"];
type Loose<T> = { [Name in keyof T]?: T[Name] | undefined };

/** What is left out has the default that the API gives it. */
export type BulkRequest = Loose<Omit<Bulk, "filter">> & Pick<Bulk, "decision"> & { filter: Loose<Bulk["filter"]> };

export const postReviews = (id: string, decisions: Decision[]) =>
  data(api.POST("/jobs/{job_id}/reviews", { params: { path: { job_id: id } }, body: decisions }));

export const getReviewSummary = (id: string): Promise<ReviewSummary> =>
  data(
    api.GET("/jobs/{job_id}/reviews/summary", { params: { path: { job_id: id }, query: { signal: ["mislabeled"] } } }),
  );

/** Decides on every sample that a filter matches; with `dry_run` only counts them. */
export const decideOnAll = (id: string, body: BulkRequest) =>
  data(api.POST("/jobs/{job_id}/reviews/bulk", { params: { path: { job_id: id } }, body: body as Bulk }));

export const undoBatch = (id: string, batch: string, reviewer: string | null) =>
  data(api.POST("/jobs/{job_id}/reviews/undo", { params: { path: { job_id: id } }, body: { batch, reviewer } }));

export type StoredReview = components["schemas"]["Review"];

/** Every decision that was made on a sample in a job, oldest first. */
export const listReviewsOf = async (id: string, sample: string): Promise<StoredReview[]> => {
  const query = { sample_id: sample, limit: 100 };
  return (await data(api.GET("/jobs/{job_id}/reviews", { params: { path: { job_id: id }, query } }))).items;
};
