// View of each first word of a route. Each is a file of its own, which the browser fetches when it is wanted.

import type { Component } from "svelte";

type Loaded = Promise<{ default: Component }>;

export const VIEWS: Record<string, () => Loaded> = {
  "": () => import("$/views/home/Home.svelte"),
  new: () => import("$/views/dataset/Upload.svelte"),
  datasets: () => import("$/views/dataset/Dataset.svelte"),
  jobs: () => import("$/views/job/JobPage.svelte"),
  "signed-in": () => import("$/views/home/SignedIn.svelte"),
  nowhere: () => import("$/views/home/Nowhere.svelte"),
};
