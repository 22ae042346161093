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

    When the training set serves itself, `trace` is its own and `columns` are those of its rows that are used where
    pairs are needed, each standing for `weights` rows; sums over the whole reference are exact. `labels` are those of
    the columns then, of the trace otherwise.
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
    """Everything that formulas read. S of the T checkpoints are used where neighbours are searched.

    `features` are the directions of the activations at the last checkpoint, in the few dimensions that neighbours are
    searched in.
    """

    labels: Int[Tensor, " n"]
    dynamics: Dynamics
    self_influence: Float[Tensor, "t n"]
    class_influence: Float[Tensor, "t n c"]
    pairs: PairSums
    votes: Float[Tensor, "n c"]
    own_support: Float[Tensor, "s n"]
    features: Float[Tensor, "n e"]
    support: Support | None


def early_checkpoints(count: int) -> int:
    """How many of T checkpoints count as early: `max(2, T/3)`, at most T."""
    return min(count, max(2, count // 3))


def searched_checkpoints(count: int) -> list[int]:
    """The checkpoints where neighbours are searched: the first, that at a quarter, and the last."""
    return sorted({0, ceil(count / 4) - 1, count - 1})


class Measuring:
    """Measures checkpoint by checkpoint, as their traces are filled, and every pair in the end.

    `classes` is their number; `seed` decides which rows stand for many where neighbours are searched.
    """

    # Sums over checkpoints are taken as they come: only one order gives the same bits.

    def __init__(self, train: Trace, labels: Int[Tensor, " n"], reference: Reference, classes: int, seed: int) -> None:
        self._train, self._labels, self._reference, self._classes, self._seed = train, labels, reference, classes, seed
        count, samples = len(train.rates), len(labels)
        self._searched = searched_checkpoints(count)
        margin, loss, norm = (torch.empty(count, samples) for _ in range(3))
        early, mean = torch.zeros(samples, classes), torch.zeros(samples, classes)
        self._dynamics = Dynamics(margin, loss, norm, early, mean)
        self._self_influence = torch.empty(count, samples)
        self._class_influence = torch.empty(count, samples, classes)
        self._votes = torch.zeros(samples, classes)
        self._own_support = torch.empty(len(self._searched), samples)
        self._next = 0

    def at(self, t: int) -> None:
        """Measure one checkpoint; in order, or ValueError."""
        if t != self._next:
            raise ValueError(f"checkpoint {t} measured when {self._next} was next")
        self._next += 1
        self._learning(t)
        self._influence(t)
        if t in self._searched:
            self._neighbours(t)

    def finish(self, tell: Callable[[float], None]) -> Measurements:
        """Measure every pair; `tell` hears the share that is done, in [0, 1]."""
        reference = self._reference
        pairs = pair_sums(
            self._train,
            self._labels,
            reference.trace if reference.columns is None else reference.trace.rows(reference.columns),
            reference.labels,
            self._classes,
            weights=reference.weights,
            own_column=None if reference.columns is None else _own_column(reference.columns, len(self._labels)),
        )
        tell(0.8)
        support = _support(self._train, self._labels, reference) if reference.trusted else None
        tell(1.0)
        return Measurements(
            labels=self._labels,
            dynamics=self._dynamics,
            self_influence=self._self_influence,
            class_influence=self._class_influence,
            pairs=pairs,
            votes=self._votes,
            own_support=self._own_support,
            features=self._features,
            support=support,
        )

    def _learning(self, t: int) -> None:
        logits, own, found = self._train.logits[t], self._labels[:, None], self._dynamics
        count = len(self._train.rates)
        found.margin[t] = logits.gather(1, own).squeeze(1) - logits.scatter(1, own, -torch.inf).amax(1)
        log_probability = torch.log_softmax(logits, 1)
        found.loss[t] = -log_probability.gather(1, own).squeeze(1)
        probability = log_probability.exp_()
        found.mean.add_(probability, alpha=1 / count)
        if t < early_checkpoints(count):
            found.early.add_(probability, alpha=1 / early_checkpoints(count))

    def _influence(self, t: int) -> None:
        activations, rate = self._train.activations[t], self._train.rates[t]
        delta = errors(self._train.logits[t], self._labels)
        self._dynamics.error_norm[t] = delta.norm(dim=1)
        own = self._self_influence[t] = self_influence(activations, delta, rate)
        serves_itself = self._reference.columns is not None
        if serves_itself:
            # A training set that serves as its own reference does so whole here: sums need no sampling.
            sums = class_gradients(activations, delta, self._labels, self._classes)
        else:
            trace, labels = self._reference.trace, self._reference.labels
            sums = class_gradients(trace.activations[t], errors(trace.logits[t], labels), labels, self._classes)
        self._class_influence[t] = class_influence(activations, delta, sums, rate)
        if serves_itself:
            self._class_influence[t].scatter_add_(1, self._labels[:, None], -own[:, None])

    def _neighbours(self, t: int) -> None:
        # Each checkpoint has draws of its own, whenever it is measured.
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + t)
        trusted = self._reference if self._reference.trusted else None
        found = directions(_pool(self._train, trusted, t))
        votes = _vote(found, self._labels, trusted, self._classes, generator)
        self._votes.add_(votes, alpha=1 / len(self._searched))
        rows = found[: len(self._labels)]
        self._own_support[self._searched.index(t)] = own_label_support(rows, self._labels, self._classes, generator)
        self._features = rows


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
