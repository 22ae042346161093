"""Samples with the same input: copies, and contradictions, the same input under different labels.

Two inputs are the same where every value of them is: numbers bit by bit, texts character by character, images file by file. A set of
such samples is a contradiction where its labels differ, and no set of copies then: each sample is in one set at most.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.domain.issue import MOST_SAMPLES
from service.store.fingerprints import Hashes
from worker.issues.data_issue import DataIssue, IssueSample
from worker.issues.inputs import Rows, TrainingSamples

_MANY = 0.2  # share of the samples of a table, from which on rows are alike because columns have few values


def same_sets(hashes: Hashes) -> list[Rows]:
    """Sets of two and more places with the same fingerprint, by their first place, each ascending."""
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1 if len(order) else np.zeros(0, np.int64)
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(order)]])
    sets = [order[start:end] for start, end in zip(starts, ends, strict=True) if end - start > 1]
    return sorted(sets, key=lambda places: int(places[0]))


def contradicting_duplicates(samples: TrainingSamples, sets: Sequence[Rows]) -> DataIssue:
    """Sets of the same input in which labels differ. Score: share of the samples that are in one, 0 to 1."""
    found = [one for one in sets if differ(samples.labels[one])]
    flagged = sum(len(one) for one in found)
    share = flagged / len(samples.labels)
    detail = "No input stands under two labels."
    if found:
        detail = (
            f"Inputs that stand under more than one label: {len(found):,}, in {flagged:,} samples. "
            f"Labels that differ from the commonest one of their input: {sum(_minority(samples.labels[one]) for one in found):,}."
        )
    return DataIssue(
        "contradicting_duplicates",
        share,
        flagged,
        detail + _few_values(samples, share),
        listed(samples, found),
        found=bool(found),
    )


def exact_duplicates(samples: TrainingSamples, sets: Sequence[Rows]) -> DataIssue:
    """Sets of the same input and label. Score: share of the samples that repeat an earlier one, 0 to 1."""
    found = [one for one in sets if not differ(samples.labels[one])]
    flagged, more = sum(len(one) for one in found), sum(len(one) - 1 for one in found)
    share = more / len(samples.labels)
    detail = "No sample repeats another one."
    if found:
        detail = f"Samples that repeat an earlier one with the same label: {more:,}. A model learns from each as often as it is there."
    return DataIssue(
        "exact_duplicates",
        share,
        flagged,
        detail + _few_values(samples, share),
        listed(samples, found),
        found=bool(found),
    )


def listed(samples: TrainingSamples, sets: Sequence[Rows]) -> list[IssueSample]:
    """The samples of the sets, set after set, as many as are kept."""
    found: list[IssueSample] = []
    for number, places in enumerate(sets):
        found += [samples.sample(place, number) for place in places[: MOST_SAMPLES - len(found)].tolist()]
        if len(found) == MOST_SAMPLES:
            break
    return found


def differ(labels: npt.NDArray[np.int64]) -> bool:
    """Whether the labels are not all the same."""
    return bool((labels != labels[0]).any())


def _minority(labels: npt.NDArray[np.int64]) -> int:
    """Labels that are not the commonest one."""
    return len(labels) - int(np.bincount(labels).max())


def _few_values(samples: TrainingSamples, share: float) -> str:
    if samples.dataset.header.modality != "tabular" or share < _MANY:
        return ""
    return " So many rows of a table are alike where its columns have few values: these may be different things."
