// Requests about jobs.

import { api, data, request } from "./client";
import type { components } from "./schema";
import type { Job } from "./types";
import type { Property } from "$/words/schema";

export const getJob = (id: string): Promise<Job> =>
  data(api.GET("/jobs/{job_id}", { params: { path: { job_id: id } } }));

export const listJobs = (
  query: { limit?: number; cursor?: string; state?: Job["state"]; dataset?: string; name?: string } = {},
) => data(api.GET("/jobs", { params: { query } }));

export const cancelJob = (id: string) => data(api.POST("/jobs/{job_id}/cancel", { params: { path: { job_id: id } } }));

export const retryJob = (id: string) => data(api.POST("/jobs/{job_id}/retry", { params: { path: { job_id: id } } }));

export const deleteJob = (id: string) => api.DELETE("/jobs/{job_id}", { params: { path: { job_id: id } } });

/** Submits a job over a stored dataset; what `spec` leaves out is chosen by the service. */
export const submitJob = (spec: { dataset: string; [option: string]: unknown }): Promise<Job> =>
  data(api.POST("/jobs", { body: spec as never }));

export const listModels = () => data(api.GET("/models"));

/** Properties of the options of training, as the API describes them. */
export async function trainingSchema(): Promise<Record<string, Property>> {
  const description = await (await request("/openapi.json")).json();
  return description.components.schemas.TrainingRequest?.properties ?? {};
}

/** How long a job would take, by those that were run before; refused as the job would be. */
export const estimateJob = (spec: { dataset: string; [option: string]: unknown }): Promise<JobEstimate> =>
  data(api.POST("/jobs/estimate", { body: spec as never }));

export type JobEstimate = components["schemas"]["JobEstimate"];

export type JobRequest = components["schemas"]["JobRequest"];

/** Starts a job with the options of another, where `changes` names no others. Its webhook has a secret: it has none. */
export function submitAgain({ spec }: Job, changes: Partial<JobRequest> = {}): Promise<Job> {
  const { dataset, reference, model, training, influence, glitches, loop, priority, name } = spec;
  const options = { dataset, reference, model, training, influence, glitches, loop, priority, name };
  return submitJob({ ...options, ...changes });
}

/** Runs the job again over its corrected dataset: at once, or when nobody has reviewed for a while. */
export const rerunJob = (id: string, now: boolean) =>
  data(api.POST("/jobs/{job_id}/rerun", { params: { path: { job_id: id } }, body: { now } }));

/** Has the samples of a job scored again by what people verified, without a training. */
export const rescoreJob = (id: string) =>
  data(api.POST("/jobs/{job_id}/rescore", { params: { path: { job_id: id } } }));

/** Which parts of the service are up; also its answer when one is not. */
export async function getReadiness(): Promise<components["schemas"]["Readiness"]> {
  const response = await fetch("/readyz");
  return response.json();
}
