// The evidence about a sample in words: what training on it did to samples that are like it.

import { count, counted } from "./numbers";

interface Neighbour {
  label: string;
}

export interface Evidence {
  given: string;
  suggested: string | null;
  opposing: Neighbour[];
  supporting: Neighbour[];
  witnesses: { class: string; looked_at: number; against: number[] } | null;
  /** Margins over the checkpoints: below 0 another class was ahead. */
  margins: number[];
  /** Predictions have no training: their influence is that of a step that was not taken. */
  isTrained: boolean;
}

/** Sentences, the strongest first. */
export function evidenceOf({
  given,
  suggested,
  opposing,
  supporting,
  witnesses,
  margins,
  isTrained,
}: Evidence): string[] {
  const said: string[] = [];
  const differs = suggested !== null && suggested !== given;
  const did = (past: string, wouldBe: string): string => (isTrained ? past : wouldBe);
  const hurt = commonest(opposing);
  if (hurt && hurt.label !== given)
    said.push(
      `${hurt.count === 1 ? "This one is" : `These ${count(hurt.count)} are`} labelled ${hurt.label}, and training on ` +
        `this sample as ${given} ${did("raised", "would raise")} ${hurt.count === 1 ? "its" : "their"} loss.`,
    );
  if (witnesses && witnesses.looked_at > 0) {
    const steady = witnesses.against.length ? Math.min(...witnesses.against) : 0;
    const end = witnesses.against.at(-1) ?? 0;
    if (steady > witnesses.looked_at / 2)
      said.push(
        `Of the ${count(witnesses.looked_at)} most similar samples labelled ${witnesses.class}, ` +
          `${steady === witnesses.looked_at ? "all" : `at least ${count(steady)}`} spoke against this label throughout.`,
      );
    else if (differs && end === 0)
      said.push(
        `None of the ${count(witnesses.looked_at)} most similar samples labelled ${witnesses.class} speaks against it.`,
      );
  }
  const behind = margins.filter((margin) => margin < 0).length;
  if (margins.length > 1) {
    if (behind === margins.length)
      said.push(`The model preferred another class than ${given} throughout the training.`);
    else if (behind > 0)
      said.push(
        `The model preferred another class than ${given} at ${count(behind)} of ${counted(margins.length, "checkpoint")}.`,
      );
    else said.push(`The model agreed with ${given} throughout the training.`);
  }
  const helped = commonest(supporting.filter(({ label }) => label !== given));
  if (differs && helped && helped.count > supporting.length / 2)
    said.push(`It ${did("helped", "would help")} samples labelled ${helped.label} more than those labelled ${given}.`);
  return said;
}

function commonest(neighbours: readonly Neighbour[]): { label: string; count: number } | null {
  const counts = new Map<string, number>();
  for (const { label } of neighbours) counts.set(label, (counts.get(label) ?? 0) + 1);
  const [first] = [...counts].sort(([, one], [, other]) => other - one);
  return first ? { label: first[0], count: first[1] } : null;
}
