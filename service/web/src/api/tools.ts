// Requests about the labelling tool that the samples of a job came from.

import { api, data } from "./client";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type PushMode = Schemas["PushRequest"]["mode"];
export type Pushed = Schemas["PushResult"];

export const pushJob = (id: string, mode: PushMode, dryRun = false): Promise<Pushed> =>
  data(
    api.POST("/jobs/{job_id}/push", { params: { path: { job_id: id } }, body: { mode, limit: null, dry_run: dryRun } }),
  );

export const undoPush = (id: string) =>
  data(api.POST("/jobs/{job_id}/push/undo", { params: { path: { job_id: id } } }));

export const reconcileJob = (id: string) =>
  data(api.POST("/jobs/{job_id}/reconcile", { params: { path: { job_id: id } } }));

export const getConnection = (id: string) =>
  data(api.GET("/connections/{connection_id}", { params: { path: { connection_id: id } } }));
