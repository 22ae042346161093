"""An epoch of a network whose gradients are written by hand (worker.training.direct_network), in place of autograd's.

Between epochs the network and torch's optimizer hold all that is known, as after an epoch with autograd: states are the same.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.adamw import adamw

from service.domain.specs import Training
from worker.training.direct_network import DirectNetwork, Parameters, Pass


def is_direct_rule(training: Training) -> bool:
    """Whether this is an update rule that is written here."""
    return training.optimizer == "adamw" or training.momentum > 0


def direct_epoch(
    network: DirectNetwork,
    inputs: tuple[Tensor, ...],
    labels: Int[Tensor, " n"],
    batches: Sequence[Int[Tensor, " _"]],
    weights: Float[Tensor, " c"] | None,
    optimizer: torch.optim.Optimizer,
    after_batch: Callable[[float], None],
) -> tuple[float, float]:
    """Train on the batches in turn, as an epoch with autograd does; mean loss and share of right answers on the way.

    `optimizer` is torch's SGD with momentum or AdamW, over all parameters of the network; it is left as its steps would leave it.
    """
    values, gradients = Parameters(network), Parameters(network)
    rule = _Momentum if isinstance(optimizer, torch.optim.SGD) else _AdamW
    update = rule(network, optimizer, values, gradients)
    (group,) = optimizer.param_groups
    with torch.no_grad():
        values.read({own: own for own in group["params"]})
    with torch.inference_mode():
        result = _steps(network, inputs, labels, batches, weights, values, gradients, update, after_batch)
    with torch.no_grad():
        for own, value in values.copies().items():
            own.copy_(value)
    update.keep()
    return result


def _steps(
    network: DirectNetwork,
    inputs: tuple[Tensor, ...],
    labels: Int[Tensor, " n"],
    batches: Sequence[Int[Tensor, " _"]],
    weights: Float[Tensor, " c"] | None,
    values: Parameters,
    gradients: Parameters,
    update: "_Momentum | _AdamW",
    after_batch: Callable[[float], None],
) -> tuple[float, float]:
    @cache
    def of_size(size: int) -> Pass:
        return Pass(network, values, gradients, size)

    order = torch.cat([*batches])
    targets = labels.index_select(0, order).unsqueeze(1)
    losses, answers = torch.empty(len(order), 1), torch.empty_like(targets)
    pulls = None if weights is None else weights[targets]
    done = 0
    for number, batch in enumerate(batches, 1):
        step, part = of_size(len(batch)), slice(done, done + len(batch))
        torch.argmax(step.forward(inputs, batch), 1, keepdim=True, out=answers[part])
        scale = 1 / len(batch) if pulls is None else pulls[part] / len(batch)
        step.backward(targets[part], scale, update.kept, losses[part])
        update.step()
        after_batch(number / len(batches))
        done = part.stop
    weighted = losses if pulls is None else losses * pulls
    return float(weighted.double().mean()), float((answers == targets).double().mean())


class _Momentum:
    """torch's SGD with momentum. Gradients are added to the momenta at once: no gradient is written by itself."""

    def __init__(
        self, _network: DirectNetwork, optimizer: torch.optim.Optimizer, values: Parameters, gradients: Parameters
    ) -> None:
        (self._group,) = optimizer.param_groups
        self._optimizer, self._values, self._momenta = optimizer, values, gradients
        self.kept: float = self._group["momentum"]
        gradients.read(_kept(optimizer, "momentum_buffer"))

    def step(self) -> None:
        """Update the values after a batch."""
        if self._group["weight_decay"]:
            self._momenta.flat.add_(self._values.flat, alpha=self._group["weight_decay"])
        self._values.flat.add_(self._momenta.flat, alpha=-self._group["lr"])

    def keep(self) -> None:
        """Leave the momenta in the optimizer."""
        momenta = self._momenta.copies()
        for own in self._group["params"]:
            self._optimizer.state[own]["momentum_buffer"] = momenta[own]


class _AdamW:
    """torch's AdamW, over one buffer instead of every parameter."""

    kept = 0.0  # of the gradients of the batch before

    def __init__(
        self, network: DirectNetwork, optimizer: torch.optim.Optimizer, values: Parameters, gradients: Parameters
    ) -> None:
        (self._group,) = optimizer.param_groups
        self._optimizer, self._values, self._gradients = optimizer, values, gradients
        self._means, self._squares = Parameters(network), Parameters(network)
        self._means.read(_kept(optimizer, "exp_avg"))
        self._squares.read(_kept(optimizer, "exp_avg_sq"))
        # Each parameter has a count of its own; they are all the same.
        steps = [*_kept(optimizer, "step").values()]
        self._steps = steps[0].clone() if steps else torch.zeros(())

    def step(self) -> None:
        """Update the values after a batch."""
        first, second = self._group["betas"]
        adamw(
            [self._values.flat],
            [self._gradients.flat],
            [self._means.flat],
            [self._squares.flat],
            [],
            [self._steps],
            fused=True,
            amsgrad=False,
            beta1=first,
            beta2=second,
            lr=self._group["lr"],
            weight_decay=self._group["weight_decay"],
            eps=self._group["eps"],
            maximize=False,
        )

    def keep(self) -> None:
        """Leave the moments in the optimizer."""
        means, squares = self._means.copies(), self._squares.copies()
        for own in self._group["params"]:
            kept = {"step": self._steps.clone(), "exp_avg": means[own], "exp_avg_sq": squares[own]}
            self._optimizer.state[own].update(kept)


def _kept(optimizer: torch.optim.Optimizer, name: str) -> dict[Tensor, Tensor]:
    """What the optimizer keeps under this name of each parameter; nothing before its first step."""
    return {own: state[name] for own, state in optimizer.state.items() if name in state}
