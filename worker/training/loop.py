"""Training loop that can be resumed after any epoch: equal seeds give equal bits, interrupted or not."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from service.domain.specs import Training
from service.store.seal import check, sealed_write
from worker.libraries.optimizers import AdamW, Sgd
from worker.machine.cuda_graphs import Graphs, graphs_of
from worker.machine.devices import device_of
from worker.machine.threads import one_thread
from worker.training.autograd_epoch import AutogradEpochs
from worker.training.direct_epoch import direct_epoch, is_direct_rule
from worker.training.direct_network import DirectNetwork
from worker.training.step_size import has_convolutions, products_of_a_sample
from worker.training.stopping import has_stopped_improving

# Weights times samples of a step. With fewer a second thread brought nothing on a quiet machine, and three to ten times the time on one whose
# other core was busy; with three times as many it saved a third.
_SMALL_STEP = 2**24
# The same of networks with convolutions, by the numbers that a forward pass multiplies.
_SMALL_CONVOLUTIONS = 2**27
_FEWEST_RECORDED = 20  # steps; to record one is to run it five times
_COMPUTED = ("foreach", "fused", "capturable")
_HOPELESS = 20  # times the loss of a model that knows nothing


class Diverged(Exception):
    """The loss is no longer a number, or has exploded; `detail` says how to mend it."""

    def __init__(self, epoch: int, detail: str) -> None:
        super().__init__(detail)
        self.epoch, self.detail = epoch, detail


@dataclass(frozen=True)
class EpochMetrics:
    """Running means over an epoch's batches; epochs count from 1."""

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class TrainingState:
    """State after an epoch, from which training can be resumed. Each epoch seeds its own randomness, so none is kept.

    `epoch` counts from 1; `learning_rate` is that of this epoch; `losses` are the mean losses of all epochs so far.
    """

    epoch: int
    learning_rate: float
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    losses: tuple[float, ...] = ()

    def save(self, path: Path) -> None:
        """Write to a sealed file that is complete or absent, whenever the process dies."""
        # Through a file of Python's, whose error for a full disk has a number; torch's own has none.
        with sealed_write(path) as part, part.open("wb") as file:
            torch.save(vars(self), file)

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Read what `save` wrote; never runs code from the file. Raises Damaged, and FileNotFoundError."""
        check(path)
        # Whoever goes on may compute elsewhere; what is loaded is copied to where the model is.
        return cls(**torch.load(path, weights_only=True, map_location="cpu"))


def checkpoints(training: Training, ran: int | None = None) -> list[int]:
    """The epochs whose ends are scored: all, or the asked number; of the first `ran` where training ended early.

    Half of a number are the first epochs, which tell most about wrong labels; the others are evenly spaced up to the last.
    """
    epochs = training.epochs if ran is None else ran
    if training.checkpoints == "all":
        return list(range(1, epochs + 1))
    count = min(training.checkpoints, epochs)
    first = count // 2
    rest = count - first
    return [
        *range(1, first + 1),
        *(first + round((step + 1) * (epochs - first) / rest) for step in range(rest)),
    ]


def learning_rate(training: Training, epoch: int) -> float:
    """Learning rate of an epoch, from 1: constant, or half a cosine from the full rate down to a hundredth of it."""
    if training.schedule == "constant":
        return training.learning_rate
    share = (epoch - 1) / max(training.epochs - 1, 1)
    return training.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def train(
    model: nn.Module,
    inputs: Sequence[Tensor],
    labels: Int[Tensor, " n"],
    training: Training,
    *,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
    after_batch: Callable[[float], None] = lambda _epochs: None,
    graphs_of: Callable[[torch.device], Graphs | None] = graphs_of,
) -> int:
    """Train in place, handing out the state at every epoch's end, and give the number of epochs that it took.

    `after_batch` is told how many epochs are done, such as 2.25. Raises Diverged, and whatever the callbacks raise.
    """
    direct = _direct(model, inputs, training)
    graphs = None if direct is not None or not _pays(len(labels), training) else graphs_of(device_of(model))
    with one_thread(wanted=_is_small(model, direct, inputs, training.batch_size)):
        return _train(model, direct, inputs, labels, training, graphs, resume, after_epoch, after_batch)


def _train(
    model: nn.Module,
    direct: DirectNetwork | None,
    inputs: Sequence[Tensor],
    labels: Int[Tensor, " n"],
    training: Training,
    graphs: Graphs | None,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
    after_batch: Callable[[float], None],
) -> int:
    weights = _class_weights(labels, training)
    optimizer = _optimizer(model, training, recorded=graphs is not None)
    epochs = None if direct is not None else AutogradEpochs(model, inputs, labels, weights, optimizer, training, graphs)
    losses: tuple[float, ...] = ()
    if resume is not None:
        model.load_state_dict(resume.model)
        _load(optimizer, resume.optimizer)
        losses = resume.losses
    done = 0 if resume is None else resume.epoch
    while done < training.epochs and not has_stopped_improving(losses, training.early_stopping):
        epoch = done + 1
        rate = learning_rate(training, epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate
        # The epoch's own seed, in a fork: neither the past nor anybody else's draws can change it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed * 1_000_003 + epoch)
            report = partial(_tell, after_batch, done)
            batches = _batches(len(labels), training.batch_size)
            if epochs is not None:
                loss, accuracy = epochs.run(batches, rate, report)
            elif direct is not None:
                loss, accuracy = direct_epoch(direct, tuple(inputs), labels, batches, weights, optimizer, report)
        # The first steps may be wild and still end well.
        limit = math.inf if epoch == 1 else _HOPELESS * math.log(max(int(labels.max()) + 1, 2))
        _check(loss, limit, epoch, model, training)
        losses = (*losses, loss)
        state = TrainingState(epoch, rate, deepcopy(dict(model.state_dict())), deepcopy(optimizer.state_dict()), losses)
        after_epoch(state, EpochMetrics(epoch, loss, accuracy, rate))
        done = epoch
    return done


def _is_small(model: nn.Module, direct: DirectNetwork | None, inputs: Sequence[Tensor], batch_size: int) -> bool:
    """Whether a second thread brings nothing to a step, and only waits where another process has its core."""
    if direct is not None:
        return direct.weights * batch_size < _SMALL_STEP
    if device_of(model).type != "cpu" or not has_convolutions(model):
        return False
    products = products_of_a_sample(model, tuple(part[:1] for part in inputs))
    return products is not None and products * batch_size < _SMALL_CONVOLUTIONS


def _tell(after_batch: Callable[[float], None], done: int, share: float) -> None:
    after_batch(done + share)


def _direct(model: nn.Module, inputs: Sequence[Tensor], training: Training) -> DirectNetwork | None:
    """The network, where its epochs need no autograd."""
    plain = training.precision == "float32" and training.augmentation == "none" and is_direct_rule(training)
    network = DirectNetwork.of(model) if plain else None
    return network if network is not None and network.fits(tuple(inputs)) else None


def _class_weights(labels: Int[Tensor, " n"], training: Training) -> Float[Tensor, " c"] | None:
    """What one sample of each class weighs in the loss: 1 on average over the samples; None where all weigh the same."""
    if training.class_weights == "none":
        return None
    sizes = labels.bincount()
    there = sizes > 0
    return torch.where(there, len(labels) / (there.sum() * sizes.clamp(min=1)), 0.0)


def _batches(samples: int, size: int) -> Sequence[Int[Tensor, " b"]]:
    batches = list(torch.split(torch.randperm(samples), size))
    # A batch of one has no variance, which batch normalisation cannot bear.
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _pays(samples: int, training: Training) -> bool:
    """Whether the steps of a whole training, interrupted or not, are worth recording one of them."""
    return training.epochs * (samples // training.batch_size) >= _FEWEST_RECORDED


def _optimizer(model: nn.Module, training: Training, *, recorded: bool) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if training.optimizer == "sgd":
        return Sgd(
            parameters,
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            # The only form of it that reads its learning rate from a tensor on a GPU.
            **({"fused": True} if recorded else {"foreach": True}),
        )
    return AdamW(parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)


def _load(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on from a state. How steps are computed stays this training's, whatever device the state comes from."""
    own = [{name: group[name] for name in _COMPUTED if name in group} for group in optimizer.param_groups]
    # torch keeps the very tensors that it is given here, and steps would change the caller's state.
    optimizer.load_state_dict(deepcopy(state))
    for group, computed in zip(optimizer.param_groups, own, strict=True):
        group.update(computed)


def _check(loss: float, limit: float, epoch: int, model: nn.Module, training: Training) -> None:
    bad = sum(int((~torch.isfinite(value)).sum()) for value in model.state_dict().values() if value.is_floating_point())
    if math.isfinite(loss) and loss <= limit and not bad:
        return
    raise Diverged(
        epoch,
        f"training diverged in epoch {epoch}: the mean loss is {loss:.3g} and {bad} weights are not finite. "
        f"Lower training.learning_rate, which is {training.learning_rate:g}.",
    )
