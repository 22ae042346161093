// Requests about the audit of a job: samples to review next, and how many labels are wrong.

import { api, data } from "./client";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Audit = Schemas["Audit"];
export type AuditItem = Schemas["AuditItem"];
export type AuditMoment = Schemas["AuditMoment"];
export type LabelAudit = Schemas["LabelAudit"];

type Query = NonNullable<paths["/jobs/{job_id}/audit"]["get"]["parameters"]["query"]>;

// The labels that this job ranked: of a corrected dataset the corrected ones.
const OF = "version";

export const getAudit = (id: string, query: Query): Promise<Audit> =>
  data(api.GET("/jobs/{job_id}/audit", { params: { path: { job_id: id }, query: { of: OF, ...query } } }));

/** Samples to review next; those that the same reviewer was given and has not reviewed are among them. */
export const drawSamples = async (
  id: string,
  { count, goal, confirm, reviewer }: { count: number; goal: string; confirm: number | null; reviewer: string },
): Promise<AuditItem[]> =>
  (
    await data(
      api.POST("/jobs/{job_id}/audit/draws", {
        params: { path: { job_id: id } },
        body: { count, goal, of: OF, reviewer, confirm },
      }),
    )
  ).items;

/** The address of the verdict on "at most this share is wrong", as a page to print. */
export const certificateOf = (id: string, share: number): string =>
  `/jobs/${id}/audit/certificate?share=${share}&of=${OF}&format=html`;
