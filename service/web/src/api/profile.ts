// Values of the features of a dataset by class.

import { request } from "./client";
import type { Profile } from "$/words/deviations";

export const getProfile = async (dataset: string): Promise<Profile> =>
  (await request(`/datasets/${dataset}/profile`)).json();
