// Requests about jobs.

import { api, data } from "./client";
import type { Job } from "./types";

export const getJob = (id: string): Promise<Job> =>
  data(api.GET("/jobs/{job_id}", { params: { path: { job_id: id } } }));

export const listJobs = (
  query: { limit?: number; cursor?: string; state?: Job["state"]; dataset?: string; name?: string } = {},
) => data(api.GET("/jobs", { params: { query } }));

export const cancelJob = (id: string) => data(api.POST("/jobs/{job_id}/cancel", { params: { path: { job_id: id } } }));

export const retryJob = (id: string) => data(api.POST("/jobs/{job_id}/retry", { params: { path: { job_id: id } } }));

export const deleteJob = (id: string) => api.DELETE("/jobs/{job_id}", { params: { path: { job_id: id } } });
