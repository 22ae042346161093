"""Out-of-bag probabilities of a random forest: each sample's by the trees that were grown without it."""

import warnings

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

_TREES, _SMALLEST_LEAF = 150, 3
# Trees of many samples are grown on fewer, drawn anew for each: on tables of 20,000 to 45,000 rows in a third of the time, with .1 %
# of the predictions lost.
_DRAWN = 10_000


def out_of_bag(
    values: Float[Tensor, "n k"], labels: Int[Tensor, " n"], classes: int, seed: int
) -> Float[Tensor, "n c"]:
    """Probabilities of the classes, rows sum to 1. A sample that is in every bag gets the class frequencies."""
    # It takes a second to import, and only such jobs need it.
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        _TREES,
        min_samples_leaf=_SMALLEST_LEAF,
        oob_score=True,
        max_samples=min(len(labels), _DRAWN),
        n_jobs=torch.get_num_threads(),
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of samples in every bag
        forest.fit(values.numpy(), labels.numpy())
    share = labels.bincount(minlength=classes).float() / len(labels)
    found = share.expand(len(labels), -1).clone()
    there = torch.from_numpy(forest.classes_.astype(np.int64))
    told = torch.from_numpy(forest.oob_decision_function_).float()
    known = torch.isfinite(told).all(1)
    found[known] = 0.0
    found[known.nonzero(), there] = told[known]
    return found
