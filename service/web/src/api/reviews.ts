// Requests about reviews.

import { api, data } from "./client";
import type { components } from "./schema";

export type Decision = components["schemas"]["Decision"];

export const postReviews = (id: string, decisions: Decision[]) =>
  data(api.POST("/jobs/{job_id}/reviews", { params: { path: { job_id: id } }, body: decisions }));

export const getReviewSummary = (id: string) =>
  data(api.GET("/jobs/{job_id}/reviews/summary", { params: { path: { job_id: id } } }));
