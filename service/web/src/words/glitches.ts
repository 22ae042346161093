// Kinds of planted errors in the words of the page.

const KINDS: Record<string, string> = {
  mislabeled_uniform: "Wrong label, any class",
  mislabeled_pair: "Wrong label, always the same other class",
  mislabeled_confusion: "Wrong label, a class that looks alike",
  anomalous_far_clustered: "Strange samples, alike",
  anomalous_far_scattered: "Strange samples, each its own way",
  anomalous_near_clustered: "Slightly strange samples, alike",
  anomalous_shuffled: "Values mixed up between samples",
  anomalous_extreme: "Extreme values",
};

export const glitch = (kind: string): string => KINDS[kind] ?? kind.replaceAll("_", " ");
