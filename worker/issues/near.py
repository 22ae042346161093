"""Samples that are nearly the same, where that can be known: texts and images. Exact copies are not among them."""

from collections.abc import Sequence

import numpy as np

from worker.issues.data_issue import DataIssue
from worker.issues.inputs import Rows, TrainingSamples
from worker.issues.repeats import differ, listed


def different_inputs(samples: TrainingSamples, examined: Rows) -> Rows:
    """The first of the samples at these places with each input, ascending."""
    _, first = np.unique(samples.hashes[examined], return_index=True)
    found: Rows = examined[np.sort(first)]
    return found


def near_duplicates(samples: TrainingSamples, sets: Sequence[Rows]) -> DataIssue:
    """Sets of places of samples that are nearly the same, each input once. Score: share of the samples that are nearly the same as an earlier one, 0 to 1."""
    flagged, more = sum(len(one) for one in sets), sum(len(one) - 1 for one in sets)
    detail = "No sample is nearly the same as another one."
    if sets:
        contradictions = sum(differ(samples.labels[one]) for one in sets)
        detail = f"Samples that are nearly the same as an earlier one: {more:,}. Sets of them with different labels: {contradictions:,}."
    return DataIssue(
        "near_duplicates", more / len(samples.labels), flagged, detail, listed(samples, sets), found=bool(sets)
    )
