"""Early stopping."""

import math
from collections.abc import Sequence

from service.domain.training import EarlyStopping


def has_stopped_improving(losses: Sequence[float], stopping: EarlyStopping | None) -> bool:
    """Whether none of the last `patience` epochs improved the best loss by the required share.

    `losses` are the mean training losses of all epochs so far, in order; without `stopping` the answer is False.
    """
    if stopping is None:
        return False
    best, without = math.inf, 0
    for loss in losses:
        if loss < best * (1 - stopping.min_improvement):
            best, without = loss, 0
        else:
            without += 1
    return without >= stopping.patience
