// Requests about datasets.

import { api, data } from "./client";
import { upload } from "./files";
import type { Dataset } from "./types";

export const listDatasets = (query: { limit?: number; cursor?: string } = {}) =>
  data(api.GET("/datasets", { params: { query } }));

export const getDataset = (id: string): Promise<Dataset> =>
  data(api.GET("/datasets/{dataset_id}", { params: { path: { dataset_id: id } } }));

export const deleteDataset = (id: string) =>
  api.DELETE("/datasets/{dataset_id}", { params: { path: { dataset_id: id } } });

export const listVersions = (id: string) =>
  data(api.GET("/datasets/{dataset_id}/versions", { params: { path: { dataset_id: id } } }));

export const listSkipped = (id: string, limit = 50) =>
  data(api.GET("/datasets/{dataset_id}/skipped", { params: { path: { dataset_id: id }, query: { limit } } }));

/** Draws and stores the sample dataset of the installation. */
export const createSampleDataset = (): Promise<Dataset> => data(api.POST("/datasets/sample"));

/** Sends a file to be read, with what is known of it. */
export function uploadDataset(
  file: File,
  spec: object,
  progress: (share: number) => void,
  signal: AbortSignal,
): Promise<Dataset> {
  const body = new FormData();
  // The description first: the service reads it before the file has come.
  body.append("spec", JSON.stringify(spec));
  body.append("file", file);
  return upload<Dataset>("/datasets", body, progress, signal);
}
