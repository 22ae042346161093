"""Held-out samples that a job also trains on: what is measured on them is too good.

Held out are the reference of the job and the other splits of its dataset. The same sample is one with the same input, whatever its
label: see worker.issues.repeats.
"""

from collections.abc import Sequence

import numpy as np

from service.domain.issue import MOST_SAMPLES
from service.store.fingerprints import Hashes
from worker.issues.data_issue import DataIssue, IssueSample, NotChecked
from worker.issues.inputs import HeldOut, TrainingSamples


def leakage(samples: TrainingSamples, held: Sequence[tuple[HeldOut, Hashes]]) -> DataIssue | NotChecked:
    """Held-out samples whose input a training sample has too. Score: their share of all held-out samples, 0 to 1.

    `held` are held-out samples with their fingerprints. Listed are sets of a held-out sample's equals, held-out ones first, then those that
    are trained on; `flagged` counts the held-out ones.
    """
    count = sum(len(one.rows) for one, _ in held)
    if not count:
        return NotChecked("leakage", "This job holds no sample out: it has neither a reference nor another split.")
    trained, first = np.unique(samples.hashes, return_index=True)
    inside = [np.flatnonzero(np.isin(hashes, trained)) for _, hashes in held]
    flagged = sum(len(places) for places in inside)
    numbers: dict[int, int] = {}
    listed: list[IssueSample] = []
    members: dict[int, list[IssueSample]] = {}
    for (one, hashes), places in zip(held, inside, strict=True):
        for place in places.tolist():
            value = int(hashes[place])
            number = numbers.setdefault(value, len(numbers))
            if number < MOST_SAMPLES:
                members.setdefault(value, []).append(one.sample(place, number))
    for value, found in members.items():
        if len(listed) >= MOST_SAMPLES:
            break
        place = int(first[np.searchsorted(trained, np.uint64(value))])
        listed += [*found, samples.sample(place, numbers[value])]
    detail = "No held-out sample is trained on."
    if flagged:
        parts = {one.parts[place] for (one, _), places in zip(held, inside, strict=True) for place in places.tolist()}
        detail = (
            f"Held-out samples (of {', '.join(sorted(parts))}) whose input is also trained on: {flagged:,} of {count:,}. "
            "Accuracy on them is too high, and they verify nothing."
        )
    return DataIssue("leakage", flagged / count, flagged, detail, listed[:MOST_SAMPLES], found=flagged > 0)
