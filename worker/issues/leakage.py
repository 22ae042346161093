"""Held-out samples that a job also trains on: what is measured on them is too good.

Held out are the reference of the job and the other splits of its dataset. The same sample is one with the same input, whatever its
label: see worker.issues.repeats.
"""

from collections.abc import Sequence

import numpy as np

from service.domain.issue import MOST_SAMPLES
from service.store.fingerprints import Hashes
from worker.issues.data_issue import DataIssue, IssueSample, NotChecked
from worker.issues.inputs import HeldOut, Rows, TrainingSamples
from worker.issues.repeats import same_sets


def leakage(samples: TrainingSamples, held: Sequence[tuple[HeldOut, Hashes]]) -> DataIssue | NotChecked:
    """Held-out samples whose input a training sample has too. Score: their share of all held-out samples, 0 to 1.

    `held` are held-out samples with their fingerprints. Listed are sets of a held-out sample's equals, held-out ones first, then those that
    are trained on; `flagged` counts the held-out ones.
    """
    count = sum(len(one.rows) for one, _ in held)
    if not count:
        return NotChecked("leakage", "This job holds no sample out: it has neither a reference nor another split.")
    trained, first = np.unique(samples.hashes, return_index=True)
    inside = [(one, np.flatnonzero(np.isin(hashes, trained))) for one, hashes in held]
    flagged = sum(len(places) for _, places in inside)
    leaked = np.concatenate([hashes[places] for (_, hashes), (_, places) in zip(held, inside, strict=True)])
    is_leaked = np.isin(trained, leaked)
    sets = same_sets(np.concatenate([leaked, trained[is_leaked]]))
    listed = _listed(samples, inside, sets, first[is_leaked])
    detail = "No held-out sample is trained on."
    if flagged:
        parts = {one.parts[place] for one, places in inside for place in places.tolist()}
        detail = (
            f"Held-out samples (of {', '.join(sorted(parts))}) whose input is also trained on: {flagged:,} of {count:,}. "
            "Accuracy on them is too high, and they verify nothing."
        )
    return DataIssue("leakage", flagged / count, flagged, detail, listed, found=flagged > 0)


def _listed(
    samples: TrainingSamples, held: Sequence[tuple[HeldOut, Rows]], sets: Sequence[Rows], trained: Rows
) -> list[IssueSample]:
    """The first samples of the sets, as many as are kept, each set with its training sample.

    Members of a set are places in a list of the held-out samples at some places of each file, then of the training samples at `trained`.
    """
    files = np.repeat(np.arange(len(held)), [len(places) for _, places in held])
    rows = np.concatenate([places for _, places in held])
    found: list[IssueSample] = []
    for number, members in enumerate(sets):
        room = MOST_SAMPLES - len(found)
        if room < 2:
            break
        kept = members[:-1][: room - 1]
        found += [held[files[place]][0].sample(int(rows[place]), number) for place in kept]
        found.append(samples.sample(int(trained[members[-1] - len(files)]), number))
    return found
