// What is usual in the classes of a dataset: values of features, words of texts.

import { api, data } from "./client";
import type { components } from "./schema";
import type { FeatureProfile, Profile } from "$/words/deviations";
import type { TypicalWords } from "$/words/typical";

type Served = components["schemas"]["DatasetProfile"];
type Values = Served["features"][number]["by_class"][number];

/** What is usual in each class. */
export interface Usual {
  /** By class, then by feature. */
  values: Profile;
  words: TypicalWords;
}

// A list and the sample beside it ask for the same.
const asked = new Map<string, Promise<Usual>>();

/** What is usual in a table or in texts; nothing in other datasets. A dataset never changes, so that it is asked once. */
export async function getUsual({ id, modality }: { id: string; modality: string }): Promise<Usual | undefined> {
  if (modality !== "tabular" && modality !== "text") return undefined;
  let found = asked.get(id);
  if (!found) {
    found = data(api.GET("/datasets/{dataset_id}/profile", { params: { path: { dataset_id: id } } })).then(
      (served) => ({ values: byClass(served), words: wordsByClass(served) }),
    );
    found.catch(() => asked.delete(id));
    asked.set(id, found);
  }
  return found;
}

function wordsByClass({ typical_words: classes }: Served): TypicalWords {
  return new Map(classes.map(({ label, words }) => [label, new Map(words.map((one) => [one.word, one]))]));
}

function byClass({ features, quantiles: levels }: Served): Profile {
  const profile: Profile = {};
  for (const { name, by_class } of features)
    for (const values of by_class) (profile[values.label] ??= {})[name] = featureProfile(values, levels);
  return profile;
}

function featureProfile({ count, quantiles, values, other }: Values, levels: number[]): FeatureProfile | undefined {
  if (count === 0) return undefined;
  if (quantiles) return { kind: "numeric", levels, quantiles, samples: count };
  const shares = Object.fromEntries((values ?? []).map(({ value, count: found }) => [value, found / count]));
  return { kind: "categorical", shares, other: (other ?? 0) / count, samples: count };
}
