// Kinds of planted errors in the words of the page.

const KINDS: Record<string, string> = {
  mislabeled_uniform: "Wrong label, any class",
  mislabeled_pair: "Wrong label, always the same other class",
  mislabeled_confusion: "Wrong label, a class that looks alike",
  mislabeled_one_way: "Wrong label, from one class to another and never back",
  mislabeled_human: "Wrong label, of samples that look like that class",
  mislabeled_cluster: "Wrong label, of similar samples together",
  anomalous_far_clustered: "Strange samples, alike",
  anomalous_far_scattered: "Strange samples, each its own way",
  anomalous_near_clustered: "Slightly strange samples, alike",
  anomalous_shuffled: "Values mixed up between samples",
  anomalous_extreme: "Extreme values",
};

export const glitch = (kind: string): string => KINDS[kind] ?? kind.replaceAll("_", " ");
