"""What every signal is computed from: one pass over the checkpoints, shared by all formulas."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.factors import Trace, errors
from worker.influence.tracin import PairSums, class_gradients, class_influence, pair_sums, self_influence
from worker.signals.neighbours import directions, nearest, vote
from worker.signals.support import own_label_support, reference_support

_NEIGHBOURS = 10


@dataclass(frozen=True)
class Reference:
    """The samples on which influence is measured.

    `columns` are rows of the training trace when the training set serves itself, else None. Sums over the whole
    reference are exact; what needs pairs uses `trace`, each row of which stands for `weights` rows.
    """

    trace: Trace
    labels: Int[Tensor, " m"]
    columns: Int[Tensor, " m"] | None = None
    weights: Float[Tensor, " m"] | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Dynamics:
    """How each sample was learnt: T checkpoints, n samples. `early` and `mean` are probabilities averaged over them."""

    margin: Float[Tensor, "t n"]
    loss: Float[Tensor, "t n"]
    error_norm: Float[Tensor, "t n"]
    early: Float[Tensor, "n c"]
    mean: Float[Tensor, "n c"]


@dataclass(frozen=True)
class Support:
    """Support of every sample by the trusted reference at S checkpoints, and of the reference's own samples by the rest."""

    same: Float[Tensor, "s n"]
    every: Float[Tensor, "s n"]
    reference_same: Float[Tensor, "s m"]
    reference_every: Float[Tensor, "s m"]


@dataclass(frozen=True)
class Measurements:
    """Everything that formulas read. S of the T checkpoints are used where neighbours are searched."""

    labels: Int[Tensor, " n"]
    dynamics: Dynamics
    self_influence: Float[Tensor, "t n"]
    class_influence: Float[Tensor, "t n c"]
    pairs: PairSums
    votes: Float[Tensor, "n c"]
    own_support: Float[Tensor, "s n"]
    support: Support | None


def early_checkpoints(count: int) -> int:
    """How many of T checkpoints count as early: `max(2, T/3)`, at most T."""
    return min(count, max(2, count // 3))


def searched_checkpoints(count: int) -> list[int]:
    """The checkpoints where neighbours are searched: the first, that at a quarter, and the last."""
    return sorted({0, ceil(count / 4) - 1, count - 1})


def dynamics(trace: Trace, labels: Int[Tensor, " n"]) -> Dynamics:
    """Margins, losses, error norms and averaged probabilities."""
    count, samples, classes = trace.logits.shape
    margin, loss, norm = (torch.empty(count, samples) for _ in range(3))
    early, mean = torch.zeros(samples, classes), torch.zeros(samples, classes)
    own = labels[:, None]
    for t in range(count):
        logits = trace.logits[t]
        given = logits.gather(1, own).squeeze(1)
        margin[t] = given - logits.scatter(1, own, -torch.inf).amax(1)
        log_probability = torch.log_softmax(logits, 1)
        loss[t] = -log_probability.gather(1, own).squeeze(1)
        probability = log_probability.exp()
        mean += probability / count
        if t < early_checkpoints(count):
            early += probability / early_checkpoints(count)
        norm[t] = errors(logits, labels).norm(dim=1)
    return Dynamics(margin, loss, norm, early, mean)


def measure(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: Reference,
    classes: int,
    generator: torch.Generator,
    tell: Callable[[float], None],
) -> Measurements:
    """Compute it all; `tell` hears the share that is done, in [0, 1]."""
    count, samples = len(train.rates), len(labels)
    own_influence = torch.empty(count, samples)
    by_class = torch.empty(count, samples, classes)
    # A training set that serves as its own reference does so whole here: sums need no sampling.
    whole = (train, labels) if reference.columns is not None else (reference.trace, reference.labels)
    for t, rate in enumerate(train.rates):
        delta = errors(train.logits[t], labels)
        own_influence[t] = self_influence(train.activations[t], delta, rate)
        trace, reference_labels = whole
        sums = class_gradients(
            trace.activations[t], errors(trace.logits[t], reference_labels), reference_labels, classes
        )
        by_class[t] = class_influence(train.activations[t], delta, sums, rate)
        if reference.columns is not None:
            by_class[t].scatter_add_(1, labels[:, None], -own_influence[t][:, None])
        tell(0.3 * (t + 1) / count)
    pairs = pair_sums(
        train,
        labels,
        reference.trace,
        reference.labels,
        classes,
        weights=reference.weights,
        own_column=None if reference.columns is None else _own_column(reference.columns, samples),
    )
    tell(0.6)
    trusted = reference if reference.trusted else None
    votes, own_support = [], []
    for t in searched_checkpoints(count):
        found = directions(_pool(train, trusted, t))
        votes.append(_vote(found, labels, trusted, classes, generator))
        own_support.append(own_label_support(found[:samples], labels, classes, generator))
    tell(0.9)
    support = None if trusted is None else _support(train, labels, trusted)
    tell(1.0)
    return Measurements(
        labels=labels,
        dynamics=dynamics(train, labels),
        self_influence=own_influence,
        class_influence=by_class,
        pairs=pairs,
        votes=torch.stack(votes).mean(0),
        own_support=torch.stack(own_support),
        support=support,
    )


def _support(train: Trace, labels: Int[Tensor, " n"], reference: Reference) -> Support:
    itself = torch.arange(len(reference.labels))
    found: list[tuple[Tensor, ...]] = []
    for t in searched_checkpoints(len(train.rates)):
        known = (reference.trace.activations[t], reference.labels)
        found.append(
            (*reference_support(train.activations[t], labels, *known), *reference_support(*known, *known, itself))
        )
    return Support(*(torch.stack(parts) for parts in zip(*found, strict=True)))


def _own_column(columns: Int[Tensor, " m"], samples: int) -> Int[Tensor, " n"]:
    own = torch.full((samples,), -1, dtype=torch.int64)
    own[columns] = torch.arange(len(columns))
    return own


def _pool(train: Trace, reference: Reference | None, t: int) -> Float[Tensor, "p d"]:
    # A trusted reference votes beside the training rows; one that nobody verified is training data like any other.
    return (
        train.activations[t] if reference is None else torch.cat([train.activations[t], reference.trace.activations[t]])
    )


def _vote(
    pool: Float[Tensor, "p d"],
    labels: Int[Tensor, " n"],
    reference: Reference | None,
    classes: int,
    generator: torch.Generator,
) -> Float[Tensor, "n c"]:
    pool_labels = labels if reference is None else torch.cat([labels, reference.labels])
    cosines, rows = nearest(pool[: len(labels)], pool, _NEIGHBOURS, generator, torch.arange(len(labels)))
    return vote(cosines, pool_labels[rows], classes)
