"""The learning rates that the steps of a training had for its last layer, by which TracIn weighs an epoch."""

import weakref
from collections import Counter
from math import fsum
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook


class StepRates:
    """Notes the rate of the last layer at each step of any optimizer of this process, until it is closed.

    A scheduler may change the rate at every step, and to 0 after the last one, so what an optimizer has at an epoch's end does not
    tell the rate of the epoch.
    """

    def __init__(self, model: nn.Module, head: nn.Linear) -> None:
        self._model, self._head = model, head
        self._counts: Counter[float] = Counter()  # steps by rate
        self._others = False  # whether another optimizer made a step
        self._handle = register_optimizer_step_pre_hook(_noting(self))
        weakref.finalize(self, self._handle.remove)

    def take(self, *, needed: bool) -> float | None:
        """The mean rate of the steps since the last call; None where there was none.

        Raises ValueError where it is needed and all steps were made by optimizers that do not hold the last layer.
        """
        counts, others = self._counts, self._others
        self._counts, self._others = Counter(), False
        if needed and not counts and others:
            raise ValueError(
                "the steps since the last record were made by optimizers that do not hold the last layer; give its rate as a number"
            )
        if len(counts) == 1:
            return next(iter(counts))
        return fsum(rate * steps for rate, steps in counts.items()) / counts.total() if counts else None

    def rate_in(self, optimizer: Optimizer) -> float | None:
        """The rate that an optimizer has for the last layer; None where it does not hold the layer.

        Where no step changes the layer, or FSDP has made it a part of a flat parameter, that of the model's other parameters
        is taken if they have one rate.
        """
        own = _rates(optimizer, self._head)
        # No parameter of the layer is one of flat parameters.
        if not own and not any(one.requires_grad for one in self._head.parameters()):
            all_ = set(_rates(optimizer, self._model))
            own = [*all_] if len(all_) == 1 else []
        return own[0] if own else None

    def current(self, optimizer: Optimizer) -> float:
        """The rate that an optimizer has now for the last layer. Raises ValueError for one that does not hold it."""
        rate = self.rate_in(optimizer)
        if rate is not None:
            return rate
        if not [*self._head.parameters()] and _rates(optimizer, self._model):
            raise ValueError(
                "the parameters of the optimizer have several learning rates, and which is that of the last layer cannot be told "
                "from flat parameters; give record() the rate as a number, or FSDP use_orig_params=True"
            )
        raise ValueError(
            "the optimizer does not hold the parameters of the last layer, so its rate is not that of the layer; give record() "
            "the optimizer that trains the layer, or the rate as a number"
        )

    def note_copies(self, optimizer: Any) -> None:
        """Note a step of a trainer's optimizer that holds copies of all parameters, as some have for mixed precision, at one rate."""
        rates = {float(group["lr"]) for group in optimizer.param_groups}
        if not _rates(optimizer, self._model) and len(rates) == 1:
            self._counts[rates.pop()] += 1

    def close(self) -> None:
        """Note no more steps."""
        self._handle.remove()

    def note(self, optimizer: Optimizer) -> None:
        """Note a step that an optimizer is about to make."""
        rate = self.rate_in(optimizer)
        if rate is None:
            self._others = True
        else:
            self._counts[rate] += 1


def _noting(rates: StepRates) -> Any:
    """A hook that notes steps as long as somebody else holds the rates."""
    held = weakref.ref(rates)

    def note(optimizer: Optimizer, _arguments: Any, _named: Any) -> None:
        alive = held()
        if alive is not None:
            alive.note(optimizer)

    return note


def _rates(optimizer: Any, module: nn.Module) -> list[float]:
    """Rates of the groups that hold a parameter of a module."""
    own = {id(one) for one in module.parameters()}
    groups = [group for group in optimizer.param_groups if any(id(one) in own for one in group["params"])]
    return [float(group["lr"]) for group in groups if group.get("lr") is not None]
