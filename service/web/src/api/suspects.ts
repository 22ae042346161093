// Requests about the ranking of a job.

import { api, data } from "./client";
import type { paths } from "./schema";

export type SuspectQuery = NonNullable<paths["/jobs/{job_id}/suspects"]["get"]["parameters"]["query"]>;

export const listSuspects = (id: string, query: SuspectQuery, signal?: AbortSignal) =>
  data(api.GET("/jobs/{job_id}/suspects", { params: { path: { job_id: id }, query }, signal }));

export const getSample = (id: string, sample: string, signal?: AbortSignal) =>
  data(api.GET("/jobs/{job_id}/samples/{sample_id}", { params: { path: { job_id: id, sample_id: sample } }, signal }));

export const listSignals = (id: string) =>
  data(api.GET("/jobs/{job_id}/signals", { params: { path: { job_id: id } } }));

/** Name, title and meaning of every signal. */
export const listSignalWords = async () => (await data(api.GET("/signals"))).items;
