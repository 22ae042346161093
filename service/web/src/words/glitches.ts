// Kinds of planted errors in the words of the page.

const KINDS: Record<string, string> = {
  mislabeled_uniform: "Wrong label: any other class",
  mislabeled_pair: "Wrong label: always the next class",
  mislabeled_confusion: "Wrong label: a similar class",
  mislabeled_one_way: "Wrong label: one way, never back",
  mislabeled_human: "Wrong label: where samples look like another class",
  mislabeled_cluster: "Wrong label: clusters of similar samples",
  anomalous_far_clustered: "Anomalies: one cluster, far from the data",
  anomalous_far_scattered: "Anomalies: scattered, far from the data",
  anomalous_near_clustered: "Anomalies: one cluster, near the data",
  anomalous_shuffled: "Anomalies: ordinary values, never seen together",
  anomalous_extreme: "Anomalies: extreme values",
  duplicate: "Copies of other samples",
  duplicate_relabeled: "Copies of other samples, under another label",
};

export const glitch = (kind: string): string => KINDS[kind] ?? kind.replaceAll("_", " ");
