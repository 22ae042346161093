"""Random checkpoints of a small training set, in float64 for the slow formulas and as tensors for the product."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.signals.measurements import Measurements, Unseen, measure_checkpoints
from worker.signals.reference import Chosen, ReferenceSamples
from worker.signals.sample_groups import SampleGroups

Doubles = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

SIZES = (12, 5, 11, 9)  # of the classes; one is smaller than a group may be
CLASSES, WIDTH, INNER, EMBEDDED = 4, 6, 7, 5  # none equal to another, nor to a number of samples or checkpoints


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples at every checkpoint. `a` enters the last layer, `b` the layer before it; `z` are the logits."""

    labels: Whole
    a: Doubles
    b: Doubles
    z: Doubles

    @property
    def trace(self) -> tuple[Tensor, Tensor]:
        """Activations and logits in single precision."""
        return torch.from_numpy(self.a).float(), torch.from_numpy(self.z).float()

    def rows(self, order: Whole) -> "Part":
        """Some of the samples."""
        return Part(self.labels[order], self.a[:, order], self.b[:, order], self.z[:, order])

    @cached_property
    def p(self) -> Doubles:
        """Probabilities [t, n, c]."""
        powers = np.exp(self.z - self.z.max(2, keepdims=True))
        return np.asarray(powers / powers.sum(2, keepdims=True))

    @cached_property
    def g(self) -> Doubles:
        """Gradients of the loss for weight and bias of the last layer, flat [t, n, c * (d + 1)]."""
        return np.stack([[self.gradient(t, i, int(y)) for i, y in enumerate(self.labels)] for t in range(len(self.z))])

    def gradient(self, t: int, i: int, label: int) -> Doubles:
        """The gradient of sample i at checkpoint t, had it that label."""
        error = self.p[t, i].copy()
        error[label] -= 1
        return np.outer(error, np.append(self.a[t, i], 1.0)).ravel()


@dataclass(frozen=True, eq=False)
class World:
    """A training part with learning rates, embeddings, and the reference that influence is measured on, with its own."""

    train: Part
    rates: tuple[float, ...]
    frozen: Doubles | None
    known_frozen: Doubles | None
    other: Part | None
    trusted: bool
    predictions: bool = False
    out_of_bag: Doubles | None = None
    by_trees: Doubles | None = None

    @property
    def reference(self) -> Part:
        """The training part where it serves itself."""
        return self.train if self.other is None else self.other

    @property
    def n(self) -> int:
        """How many samples are scored."""
        return len(self.train.labels)

    @property
    def checkpoints(self) -> list[int]:
        """All of them."""
        return list(range(len(self.rates)))

    @property
    def searched(self) -> list[int]:
        """The first and the last checkpoint."""
        return sorted({0, len(self.rates) - 1})

    @cached_property
    def influence(self) -> Doubles:
        """`I_ij`, [n, m]; 0 of a sample on itself."""
        known = self.reference
        matrix = np.zeros((self.n, len(known.labels)))
        for t, rate in enumerate(self.rates):
            for i, j in np.ndindex(matrix.shape):
                matrix[i, j] += rate * float(self.train.g[t, i] @ known.g[t, j])
        if self.other is None:
            np.fill_diagonal(matrix, 0)
        return matrix

    def reordered(self, order: Whole) -> "World":
        """The same training samples in another order."""
        return replace(
            self,
            train=self.train.rows(order),
            frozen=None if self.frozen is None else self.frozen[order],
            out_of_bag=None if self.out_of_bag is None else self.out_of_bag[order],
            by_trees=None if self.by_trees is None else self.by_trees[order],
        )

    @property
    def traces(self) -> tuple[Trace, Trace]:
        """Those of the training part and of the reference."""
        train, reference = (Trace(*part.trace, self.rates) for part in (self.train, self.reference))
        return train, reference

    def measured(self, chosen: Chosen | None = None, groups: SampleGroups | None = None) -> Measurements:
        """What the product computes signals from."""
        labels, reference = torch.from_numpy(self.train.labels), torch.from_numpy(self.reference.labels)
        trace, known = self.traces
        if self.other is None:
            serving = ReferenceSamples(trace, labels, columns=torch.arange(self.n), weights=torch.ones(self.n))
        else:
            serving = ReferenceSamples(known, reference, trusted=self.trusted)
        frozen, known_frozen = (
            None if part is None else torch.from_numpy(part).float() for part in (self.frozen, self.known_frozen)
        )

        def read(t: int, _inner: bool) -> tuple[Tensor, Tensor | None]:
            other = None if self.other is None else torch.from_numpy(self.other.b[t]).float()
            return torch.from_numpy(self.train.b[t]).float(), other

        found = measure_checkpoints(
            trace,
            labels,
            serving,
            CLASSES,
            0,
            read,
            embeddings=frozen,
            known_embeddings=known_frozen,
            chosen=chosen,
            groups=groups,
            out_of_bag=None if self.out_of_bag is None else torch.from_numpy(self.out_of_bag).float(),
            by_trees=None if self.by_trees is None else torch.from_numpy(self.by_trees).float(),
        )
        if not self.predictions:
            return found
        return replace(found, unseen=Unseen(found.dynamics.mean, torch.empty(0, CLASSES), reference[:0]))


def part(sizes: tuple[int, ...], checkpoints: int, draw: np.random.Generator) -> Part:
    """Samples whose labels each fall into two heaps of `b`, and whose logits favour their label a little."""
    samples = sum(sizes)
    order = draw.permutation(samples)
    labels = np.repeat(np.arange(CLASSES), sizes)[order]
    heap = np.concatenate([np.where(np.arange(size) < 0.4 * size, 5.0, -5.0) for size in sizes])[order]
    apart = (labels[:, None] == np.arange(INNER)) * heap[:, None]
    tight = np.where(heap > 0, 0.4, 1.0)
    return Part(
        labels,
        single(draw.normal(size=(checkpoints, samples, WIDTH))),
        single(apart + tight[:, None] * draw.normal(size=(checkpoints, samples, INNER))),
        single(2 * draw.normal(size=(checkpoints, samples, CLASSES)) + (labels[:, None] == np.arange(CLASSES))),
    )


def single(numbers: Any) -> Doubles:
    """Numbers that single precision holds exactly, in double precision."""
    return np.asarray(numbers, dtype=np.float32).astype(np.float64)


def world(kind: str, checkpoints: int, seed: int = 1) -> World:
    """`kind` of reference: itself, split (of its own, unverified) or trusted; or predictions: one checkpoint of rate 1; or trees, alone or beside a network, with the reference itself."""
    draw = np.random.default_rng(seed)
    predictions = kind == "predictions"
    rates = (1.0,) if predictions else tuple(0.1 / (1 + t) for t in range(checkpoints))
    train = part(SIZES, len(rates), draw)
    few, many = (7, 3, 13, 8), (60, 40, 70, 41)  # fewer and more than 10 of a class, and than 200
    other = (
        None
        if kind in ("itself", "predictions", "trees", "beside")
        else part(few if checkpoints < 8 else many, len(rates), draw)
    )
    frozen = embedded(train, draw)
    known_frozen = None if other is None else embedded(other, draw)
    shares = np.exp(draw.normal(size=(len(train.labels), CLASSES)) + 1.5 * np.eye(CLASSES)[train.labels])
    told = single(shares / shares.sum(1, keepdims=True))
    out_of_bag, by_trees = (told if kind == one else None for one in ("trees", "beside"))
    return World(train, rates, frozen, known_frozen, other, kind == "trusted", predictions, out_of_bag, by_trees)


def embedded(samples: Part, draw: np.random.Generator) -> Doubles:
    """Embeddings that tell the label of most samples."""
    return single(np.eye(CLASSES, EMBEDDED)[samples.labels] + 0.7 * draw.normal(size=(len(samples.labels), EMBEDDED)))
