// Requests about corrected datasets, and about two jobs side by side.

import { api, data } from "./client";
import type { components } from "./schema";
import type { Dataset } from "./types";

type Schemas = components["schemas"];
export type Diff = Schemas["JobDiff"];
export type Version = Schemas["LineageItem"];
export type DiffItem = Schemas["DiffItem"];

/** Corrects the dataset of a job by its reviews; `suggestions` also by what the job suggests. */
export const makeVersion = (dataset: string, job: string, apply: "reviews" | "suggestions"): Promise<Dataset> =>
  data(
    api.POST("/datasets/{dataset_id}/versions", { params: { path: { dataset_id: dataset } }, body: { job, apply } }),
  );

export const compareJobs = (id: string, other: string): Promise<Diff> =>
  data(api.GET("/jobs/{job_id}/diff", { params: { path: { job_id: id }, query: { other } } }));

/** The job with those before and after it, the oldest first. */
export const listLineage = async (id: string): Promise<Version[]> =>
  (await data(api.GET("/jobs/{job_id}/lineage", { params: { path: { job_id: id } } }))).items;
