// Values of the features of a dataset by class: what is usual there.

import { api, data } from "./client";
import type { components } from "./schema";
import type { FeatureProfile, Profile } from "$/words/deviations";

type Served = components["schemas"]["DatasetProfile"];
type Values = Served["features"][number]["by_class"][number];

// A list and the sample beside it ask for the same.
const asked = new Map<string, Promise<Profile>>();

/** By class, then by feature. A dataset never changes, so that it is asked once. */
export function getProfile(dataset: string): Promise<Profile> {
  let found = asked.get(dataset);
  if (!found) {
    found = data(api.GET("/datasets/{dataset_id}/profile", { params: { path: { dataset_id: dataset } } })).then(
      byClass,
    );
    found.catch(() => asked.delete(dataset));
    asked.set(dataset, found);
  }
  return found;
}

function byClass({ features, quantiles: levels }: Served): Profile {
  const profile: Profile = {};
  for (const { name, by_class } of features)
    for (const values of by_class) (profile[values.label] ??= {})[name] = featureProfile(values, levels);
  return profile;
}

function featureProfile({ count, quantiles, values, other }: Values, levels: number[]): FeatureProfile | undefined {
  if (count === 0) return undefined;
  if (quantiles) return { kind: "numeric", levels, quantiles };
  const shares = Object.fromEntries((values ?? []).map(({ value, count: found }) => [value, found / count]));
  return { kind: "categorical", shares, other: (other ?? 0) / count, samples: count };
}
