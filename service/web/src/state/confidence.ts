// Whether the parts of a job show how sure a suggestion is: only where the service says that the number is a probability.

import { getContext, setContext } from "svelte";

const KEY = Symbol("confidence is told");
const NEVER = (): boolean => false;

export const tellConfidence = (isTold: () => boolean): unknown => setContext(KEY, isTold);

/** To be asked while a component is made; what it returns follows the job. */
export const confidenceTold = (): (() => boolean) => getContext<(() => boolean) | undefined>(KEY) ?? NEVER;
