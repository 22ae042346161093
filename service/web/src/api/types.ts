// The API's schemas under the names that the page uses.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Job = Schemas["JobView"];
export type Dataset = Schemas["DatasetInfo"];
export type Suspect = Schemas["Suspect"];
export type JobSample = Schemas["JobSample"];
export type Review = Schemas["ReviewView"];
export type Signal = Schemas["SignalView"];
export type Warning = Schemas["ClientWarning"];
export type SessionView = Schemas["SessionView"];
export type Verdict = Suspect["verdict"];
export type State = Job["state"];

/** States in which nothing more happens. */
export const ENDED: ReadonlySet<string> = new Set(["completed", "failed", "cancelled"]);
