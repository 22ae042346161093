// The corrected dataset, and the ranking as a file.

import { api, data, request } from "./client";
import type { Filters } from "$/state/filters";
import type { Dataset } from "./types";

/** A dataset with the labels that people decided on; the same decisions give the same dataset. */
export const makeCorrected = (
  dataset: string,
  job: string,
  apply: "reviews" | "suggestions" = "reviews",
): Promise<Dataset> =>
  data(
    api.POST("/datasets/{dataset_id}/versions", { params: { path: { dataset_id: dataset } }, body: { job, apply } }),
  );

export interface ExportForm {
  name: string;
  title: string;
  /** The data that a labelling tool takes; null for any. */
  modalities: string[] | null;
}

export const listExportForms = async (): Promise<ExportForm[]> => (await request("/web/exports.json")).json();

/** Path of the part of a ranking that is shown, as a file. */
export function rankingFile(job: string, filters: Filters, form: string): string {
  const { ids, ...others } = filters;
  const query = new URLSearchParams(Object.entries(others).map(([name, value]) => [name, String(value)]));
  query.set("format", form);
  return `/jobs/${job}/suspects?${query}`;
}
