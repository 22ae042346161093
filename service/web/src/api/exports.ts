// The ranking as a file.

import { request } from "./client";
import type { Filters } from "$/state/filters";
import type { Job } from "./types";

export interface ExportForm {
  name: string;
  title: string;
  /** The data that a labelling tool takes; null for any. */
  modalities: string[] | null;
}

/** The forms that suit the data of a job. A planted error is not an error of the data: tools must not get it. */
export async function listExportForms({ spec, dataset }: Job): Promise<ExportForm[]> {
  const forms: ExportForm[] = await (await request("/web/exports.json")).json();
  return forms.filter(({ modalities }) => !modalities || (!spec.glitches && modalities.includes(dataset.modality)));
}

/** Whether an upload of this form can be given back corrected as it came; true may turn out wrong. */
export async function isWritten(format: string): Promise<boolean> {
  const starts: string[] = await (await request("/web/written-forms.json")).json();
  return starts.some((start) => format.startsWith(start));
}

/** Path of the part of a ranking that is shown, as a file. */
export function rankingFile(job: string, filters: Filters, form: string): string {
  const { ids, ...others } = filters;
  const query = new URLSearchParams(Object.entries(others).map(([name, value]) => [name, String(value)]));
  query.set("format", form);
  return `/jobs/${job}/suspects?${query}`;
}
