// Datasets in words.

import type { Dataset } from "$/api/types";

export const MODALITIES: Record<string, { title: string; samples: string }> = {
  tabular: { title: "Table", samples: "rows" },
  image: { title: "Images", samples: "images" },
  text: { title: "Texts", samples: "texts" },
  embedding: { title: "Vectors", samples: "vectors" },
  trace: { title: "Recorded training", samples: "samples" },
  predictions: { title: "Predictions", samples: "samples" },
};

/** Whether a job over such samples trains a model; recorded trainings and predictions come from elsewhere. */
export const isTrained = (modality: string): boolean => modality !== "trace" && modality !== "predictions";

/** "v3" of a dataset that was corrected twice; nothing for one as it was uploaded. */
export const version = (dataset: Pick<Dataset, "lineage"> & { version?: number | null }): string =>
  dataset.version && dataset.version > 1 ? `v${dataset.version}` : dataset.lineage ? "corrected" : "";
