"""When training may end before its last epoch."""

import math
from collections.abc import Sequence

from service.domain.training import EarlyStopping


def has_stopped_improving(losses: Sequence[float], stopping: EarlyStopping | None) -> bool:
    """Whether the last `patience` epochs brought nothing; `losses` are those of every epoch so far, and all it knows."""
    if stopping is None:
        return False
    best, without = math.inf, 0
    for loss in losses:
        if loss < best * (1 - stopping.min_improvement):
            best, without = loss, 0
        else:
            without += 1
    return without >= stopping.patience
