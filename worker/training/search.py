"""Search for a learning rate: short runs at several rates, compared on samples that were held out."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.domain.specs import Training
from worker.machine.devices import device_of, to_device
from worker.training.loop import Diverged, train

_TIMES = (0.5, 1.0, 2.0, 4.0, 8.0)  # the rate that was given; the last is tried, never chosen
_SHARE = 1 / 150  # of the steps of the whole training, for each
_EXPLODED = 2  # times the loss before the run
_FEWEST, _MOST = 20, 200  # steps, whatever that share is
_HELD, _JUDGES = 5, 1_000  # one sample in so many is held out, up to so many
_BLOCK = 256


@dataclass(frozen=True)
class TriedRate:
    """A learning rate and the mean loss of the held-out samples after a short run; infinite where the run diverged."""

    rate: float
    loss: float


@dataclass(frozen=True)
class FoundRate:
    """The chosen learning rate, and all that were tried."""

    rate: float
    tried: tuple[TriedRate, ...]


def find_rate(
    model: nn.Module,
    inputs: Sequence[Tensor],
    labels: Int[Tensor, " n"],
    training: Training,
    groups: Int[Tensor, " n"] | None = None,
) -> FoundRate:
    """Try half to eight times the given rate and choose the one with the lowest loss; the model is not changed.

    A higher rate is chosen only if its double still learns, because only the beginning of the run is known. A lower rate is
    chosen only if the given one explodes: short runs prefer low rates, with which whole runs found fewer planted errors on
    seven of nine tables. Equal seeds give equal rates. No sample is held out whose group, of the numbers `groups`, is learnt.
    """
    generator = torch.Generator().manual_seed(training.seed)
    order = torch.randperm(len(labels), generator=generator)
    most = min(len(order) // _HELD, _JUDGES)
    held = most
    if groups is not None:
        order, held = _by_group(order, groups, most)
    judges = order[:most]
    brief, learners = _brief(training, order[held:], len(labels))
    if len(judges) == 0 or len(learners) == 0:
        return FoundRate(training.learning_rate, ())
    parts, targets = [part[learners] for part in inputs], labels[learners]
    known, truth = [part[judges] for part in inputs], labels[judges]
    before = _loss(model, known, truth)
    tried: list[TriedRate] = []
    for times in _TIMES:
        rate = training.learning_rate * times
        run = deepcopy(model)
        try:
            # The plain loss of the judges at the end is all that counts: nothing of the way there is kept.
            train(
                run,
                parts,
                targets,
                brief.model_copy(update={"learning_rate": rate}),
                resume=None,
                after_epoch=lambda _state, _metrics: None,
            )
            tried.append(TriedRate(rate, _loss(run, known, truth)))
        except Diverged:
            tried.append(TriedRate(rate, math.inf))
    lowest, given, *higher = tried
    safe = [one for one, double in pairwise(higher) if double.loss < before]
    best = lowest if given.loss > _EXPLODED * before else min((given, *safe), key=lambda one: one.loss)
    return FoundRate(best.rate, tuple(tried))


def _by_group(order: Int[Tensor, " n"], groups: Int[Tensor, " n"], most: int) -> tuple[Int[Tensor, " n"], int]:
    """The order with groups together, by their first row in it, and how many of the foremost rows fill `most` whole groups' rows."""
    _, place = torch.unique(groups, return_inverse=True)
    first = torch.full((int(place.max()) + 1,), len(order)).scatter_reduce_(
        0, place[order], torch.arange(len(order)), "amin"
    )
    turn = first[place[order]]
    together = turn.argsort(stable=True)
    ordered = turn[together]
    return order[together], int((ordered <= ordered[max(most - 1, 0)]).sum()) if most else 0


def _brief(training: Training, rows: Int[Tensor, " r"], samples: int) -> tuple[Training, Int[Tensor, " l"]]:
    """Options and rows of a short run of a fixed number of steps."""
    whole = training.epochs * math.ceil(samples / training.batch_size)
    steps = min(max(round(whole * _SHARE), _FEWEST), _MOST, whole)
    wanted = steps * min(training.batch_size, len(rows))  # a step has no more rows than there are
    epochs = math.ceil(wanted / max(len(rows), 1))
    options = {"epochs": epochs, "schedule": "constant", "early_stopping": None}
    return training.model_copy(update=options), rows[: math.ceil(wanted / epochs)]


@torch.inference_mode()
def _loss(model: nn.Module, inputs: Sequence[Tensor], labels: Int[Tensor, " n"]) -> float:
    model.eval()
    device = device_of(model)
    losses: list[Float[Tensor, " b"]] = [
        cross_entropy(
            model(*to_device((part[start : start + _BLOCK] for part in inputs), device)),
            labels[start : start + _BLOCK].to(device),
            reduction="none",
        )
        for start in range(0, len(labels), _BLOCK)
    ]
    mean = float(torch.cat(losses).mean())
    return mean if math.isfinite(mean) else math.inf
