"""Training at a rate that was looked for: where it diverges all the same, it begins again at a lower one."""

from collections.abc import Callable
from copy import deepcopy

import structlog
from torch import nn

from service.domain.specs import JobSpec
from worker.training.loop import Diverged

log = structlog.get_logger()

_LOWER, _MOST = 4, 3  # the rate is divided by the first, at most so many times


def train_steadily(
    spec: JobSpec, model: nn.Module, fit: Callable[[JobSpec], int], begin_again: Callable[[JobSpec], None]
) -> tuple[int, JobSpec]:
    """Train by `fit`, and give the number of epochs and the spec with the rate that they had.

    `begin_again` is told of each lower rate, when the model has its first weights again. Raises Diverged where the client chose the rate, or
    where none holds.
    """
    first = deepcopy(model.state_dict())
    lowered = 0
    while True:
        try:
            return fit(spec), spec
        except Diverged as error:
            if not spec.training.find_learning_rate or lowered == _MOST:
                raise
            log.warning("training diverged, beginning again at a lower rate", epoch=error.epoch)
        lowered += 1
        training = spec.training.model_copy(update={"learning_rate": spec.training.learning_rate / _LOWER})
        spec = spec.model_copy(update={"training": training})
        model.load_state_dict(first)
        begin_again(spec)
