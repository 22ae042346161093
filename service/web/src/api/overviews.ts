// Requests about a ranking as a whole.

import { api, data } from "./client";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Confusion = Schemas["ConfusionView"];
export type SampleMap = Schemas["SampleMapView"];
export type CutOffs = Schemas["CutOffList"];
export type CutOff = Schemas["CutOffView"];
export type ClassHealth = Schemas["ClassHealthView"];
export type Issue = Schemas["IssueView"];
export type Annotator = Schemas["AnnotatorView"];
export type DetectionCurve = Schemas["DetectionCurve"];

const of = (id: string) => ({ job_id: id });

export const getConfusion = (
  id: string,
  query: NonNullable<paths["/jobs/{job_id}/confusion"]["get"]["parameters"]["query"]> = {},
) => data(api.GET("/jobs/{job_id}/confusion", { params: { path: of(id), query } }));

export const getMap = (id: string, method: SampleMap["method"]) =>
  data(api.GET("/jobs/{job_id}/map", { params: { path: of(id), query: { method } } }));

export const getCutOffs = (id: string, by: string) =>
  data(api.GET("/jobs/{job_id}/cut-offs", { params: { path: of(id), query: { by } } }));

export const listClasses = (id: string) => data(api.GET("/jobs/{job_id}/classes", { params: { path: of(id) } }));

export const listIssues = (id: string, limit: number) =>
  data(api.GET("/jobs/{job_id}/issues", { params: { path: of(id), query: { limit } } }));

export const listAnnotators = (id: string) => data(api.GET("/jobs/{job_id}/annotators", { params: { path: of(id) } }));

export const getPlantedErrors = (id: string, signals: string[], kind?: string) =>
  data(
    api.GET("/jobs/{job_id}/planted-errors", {
      params: { path: of(id), query: { signals: signals.join(","), ...(kind && { kind }) } },
    }),
  );
