"""What every signal is computed from: one pass over the checkpoints, shared by all formulas."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace, logit_errors
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.pair_sums import PairSums, pair_sums
from worker.influence.pairs import PairwiseInfluence
from worker.influence.tracin import CheckpointInfluence, checkpoint_influence, class_gradient_sums
from worker.signals.anomaly import FEWEST, Strangeness, label_distance, strangeness
from worker.signals.density import influence_density
from worker.signals.features import principal
from worker.signals.groups import Group, groups
from worker.signals.held_out import held_out
from worker.signals.margin import margin
from worker.signals.neighbours import directions, nearest, vote
from worker.signals.support import own_label_support, reference_support

_NEIGHBOURS = 10
_FROZEN_NEIGHBOURS = 20
_EARLY = 5


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
class Chosen:
    """Where the influence of other layers than the last comes from: training rows, reference, and columns of pairs.

    `reference` is None where the training set serves itself.
    """

    train: GradientSource
    reference: GradientSource | None
    columns: GradientSource


@dataclass(frozen=True)
class Dynamics:
    """How each sample was learnt: T checkpoints, n samples. `early` and `mean` are probabilities averaged over them."""

    margin: Float[Tensor, "t n"]
    loss: Float[Tensor, "t n"]
    error_norm: Float[Tensor, "t n"]
    early: Float[Tensor, "n c"]
    mean: Float[Tensor, "n c"]

    @classmethod
    def empty(cls, count: int, samples: int, classes: int) -> "Dynamics":
        """Room for T checkpoints."""
        margin, loss, norm = (torch.empty(count, samples) for _ in range(3))
        return cls(margin, loss, norm, torch.zeros(samples, classes), torch.zeros(samples, classes))

    def take(self, t: int, logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> None:
        """Note one checkpoint, in order."""
        own, count = labels[:, None], len(self.margin)
        self.margin[t] = margin(logits, labels)
        self.error_norm[t] = logit_errors(logits, labels).norm(dim=1)
        log_probability = torch.log_softmax(logits, 1)
        self.loss[t] = -log_probability.gather(1, own).squeeze(1)
        probability = log_probability.exp_()
        self.mean.add_(probability, alpha=1 / count)
        if t < early_checkpoints(count):
            self.early.add_(probability, alpha=1 / early_checkpoints(count))


@dataclass(frozen=True)
class Unseen:
    """Probabilities by models that had not learnt from the sample: of the training samples, and of m verified ones."""

    train: Float[Tensor, "n c"]
    known: Float[Tensor, "m c"]
    known_labels: Int[Tensor, " m"]


@dataclass(frozen=True)
class Trusted:
    """What only verified samples tell, at S checkpoints.

    `same` and `every`: support by the reference; `density`: how much denser the training set's influence is around a
    sample than the reference's (both means over checkpoints); `strange` compares where samples lie.
    """

    same: Float[Tensor, "s n"]
    every: Float[Tensor, "s n"]
    density: Float[Tensor, "s n"]
    strange: Strangeness
    labels: Int[Tensor, " m"]
    guess: Float[Tensor, "m c"]


@dataclass(frozen=True)
class Aligned:
    """Mean cosines, in [-1, 1], of a sample's gradient with those of the reference samples of a class.

    `own`: of its given label; `margin`: the same, less that of the best other class.
    """

    own: Float[Tensor, "t n"]
    margin: Float[Tensor, "t n"]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What models answered and nothing else; of out-of-sample predictions, the one look at each sample is `unseen` too."""

    labels: Int[Tensor, " n"]
    dynamics: Dynamics
    unseen: Unseen | None = None


@dataclass(frozen=True, kw_only=True)
class Measurements(Answers):
    """Everything that formulas read. S of the T checkpoints are used where neighbours are searched.

    `features` say where a sample lies at the first checkpoint, `guess` what its label would be by the others alone,
    `first_votes` and `frozen_votes` (embeddings only) what its neighbours say there and in the embeddings themselves.
    """

    gradient_norm: Float[Tensor, "t n"]
    self_influence: Float[Tensor, "t n"]
    class_influence: Float[Tensor, "t n c"]
    aligned: Aligned
    pairs: PairSums
    votes: Float[Tensor, "n c"]
    first_votes: Float[Tensor, "n c"]
    frozen_votes: Float[Tensor, "n c"] | None
    own_support: Float[Tensor, "s n"]
    features: Float[Tensor, "n w"]
    groups: tuple[Group, ...]
    label_distance: Float[Tensor, " n"]
    guess: Float[Tensor, "n c"]
    trusted: Trusted | None


def early_checkpoints(count: int) -> int:
    """How many of T checkpoints count as early: a half, at least 2 and at most 5."""
    return min(count, max(2, min(_EARLY, count // 2)))


def searched_checkpoints(count: int) -> list[int]:
    """The checkpoints where neighbours are searched: the first and the last. One more found nothing more."""
    return sorted({0, count - 1})


class Measuring:
    """Measures checkpoint by checkpoint, as their traces are filled, and every pair in the end.

    `classes` is their number; `seed` decides which rows stand for many where neighbours are searched. `frozen` are
    embeddings that no training has changed.
    """

    # Sums over checkpoints are taken as they come: only one order gives the same bits.

    def __init__(
        self,
        train: Trace,
        labels: Int[Tensor, " n"],
        reference: Reference,
        classes: int,
        seed: int,
        frozen: Float[Tensor, "n f"] | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        self._train, self._labels, self._reference, self._classes, self._seed = train, labels, reference, classes, seed
        self._frozen, self._chosen = frozen, chosen
        # Every pair with a reference of its own is computed anyway; wide layers would cost more as sums.
        self._by_pairs = chosen is not None and reference.columns is None
        self._compared = reference.trusted and len(reference.labels) >= FEWEST
        count, samples = len(train.rates), len(labels)
        # Where activations never change, neither do neighbours.
        self._searched = [0] if train.shared else searched_checkpoints(count)
        self._dynamics = Dynamics.empty(count, samples, classes)
        self._gradient_norm = torch.empty(count, samples)
        self._self_influence = torch.empty(count, samples)
        self._class_influence = torch.empty(count, samples, classes)
        self._aligned = Aligned(torch.empty(count, samples), torch.empty(count, samples))
        self._votes, self._first_votes = torch.zeros(samples, classes), torch.zeros(samples, classes)
        self._own_support = torch.empty(len(self._searched), samples)
        self._same, self._every, self._density = (torch.empty(len(self._searched), samples) for _ in range(3))
        self._strange: list[Strangeness] = []
        self._next = 0

    def wants_inner(self, t: int) -> bool:
        """Whether `at` needs what enters the layer before the last at this checkpoint."""
        return t == 0 or (t in self._searched and self._compared)

    def at(self, t: int, inner: Float[Tensor, "n e"] | None = None, known: Float[Tensor, "m e"] | None = None) -> None:
        """Measure one checkpoint; in order, or ValueError. `inner` and `known` (the reference's) when wanted."""
        if t != self._next:
            raise ValueError(f"checkpoint {t} measured when {self._next} was next")
        self._next += 1
        self._dynamics.take(t, self._train.logits[t], self._labels)
        self._influence(t)
        # Each checkpoint has draws of its own, whenever it is measured.
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + t)
        if self.wants_inner(t):
            if inner is None:
                raise ValueError(f"checkpoint {t} measured without what enters the layer before the last")
            self._place(t, inner, known, generator)
        if t in self._searched:
            self._neighbours(t, generator)

    def finish(self, tell: Callable[[float], None]) -> Measurements:
        """Measure every pair; `tell` hears the share that is done, in [0, 1]."""
        reference = self._reference
        known = reference.trace if reference.columns is None else reference.trace.rows(reference.columns)
        train: GradientSource = LastLayerGradients(self._train) if self._chosen is None else self._chosen.train
        columns: GradientSource = LastLayerGradients(known) if self._chosen is None else self._chosen.columns
        streamed = PairwiseInfluence(
            train,
            self._labels,
            columns,
            reference.labels,
            self._train.rates,
            self._classes if self._by_pairs else None,
        )
        pairs, by_checkpoint = pair_sums(
            streamed,
            reference.labels,
            self._classes,
            weights=reference.weights,
            own_column=None if reference.columns is None else _own_column(reference.columns, len(self._labels)),
        )
        for t, done in enumerate(by_checkpoint):
            self._take(t, done, reference.labels)
        tell(0.9)
        generator = torch.Generator().manual_seed(self._seed)
        frozen_votes = None
        if self._frozen is not None:
            found = directions(self._frozen)
            frozen_votes = _vote(found, self._labels, None, self._classes, _FROZEN_NEIGHBOURS, generator)
        apart = label_distance(self._features, self._labels, self._classes, generator)
        tell(1.0)
        return Measurements(
            labels=self._labels,
            dynamics=self._dynamics,
            gradient_norm=self._gradient_norm,
            self_influence=self._self_influence,
            class_influence=self._class_influence,
            aligned=self._aligned,
            pairs=pairs,
            votes=self._votes,
            first_votes=self._first_votes,
            frozen_votes=frozen_votes,
            own_support=self._own_support,
            features=self._features,
            groups=tuple(groups(self._features, self._labels, self._classes, generator)),
            label_distance=apart,
            guess=self._guess,
            trusted=self._trusted(),
        )

    def _trusted(self) -> Trusted | None:
        if not self._compared or self._known_guess is None:
            return None
        strange = Strangeness(
            torch.stack([one.train for one in self._strange]).mean(0),
            torch.stack([one.reference for one in self._strange]).mean(0),
        )
        return Trusted(self._same, self._every, self._density, strange, self._reference.labels, self._known_guess)

    def _influence(self, t: int) -> None:
        serves_itself = self._reference.columns is not None
        if self._by_pairs:
            return
        train: GradientSource = LastLayerGradients(self._train) if self._chosen is None else self._chosen.train
        known, labels = train, self._labels
        if not serves_itself:
            known, labels = LastLayerGradients(self._reference.trace), self._reference.labels
            if self._chosen is not None and self._chosen.reference is not None:
                known = self._chosen.reference
        # A training set that serves as its own reference does so whole here: sums need no sampling.
        towards = class_gradient_sums(known, t, labels, self._classes)
        self._take(t, checkpoint_influence(train, t, self._labels, towards, self._train.rates[t]), labels)

    def _take(self, t: int, found: CheckpointInfluence, labels: Int[Tensor, " m"]) -> None:
        serves_itself = self._reference.columns is not None
        self._self_influence[t] = found.self_influence
        self._gradient_norm[t] = (found.self_influence / self._train.rates[t]).sqrt()
        self._class_influence[t] = found.class_influence
        if serves_itself:
            self._class_influence[t].scatter_add_(1, self._labels[:, None], -found.self_influence[:, None])
        self._align(t, found.class_cosines, labels, serves_itself=serves_itself)

    def _align(self, t: int, cosines: Float[Tensor, "n c"], labels: Int[Tensor, " m"], *, serves_itself: bool) -> None:
        # Sums of cosines become means over the class, a row left out of its own.
        sizes = labels.bincount(minlength=self._classes).expand(len(cosines), -1).clone()
        own = self._labels[:, None]
        if serves_itself:
            sizes.scatter_add_(1, own, torch.full_like(own, -1))
            cosines = cosines.scatter_add(1, own, torch.full_like(own, -1, dtype=cosines.dtype))
        means = torch.where(sizes > 0, cosines / sizes.clamp(min=1), 0.0)
        self._aligned.own[t] = means.gather(1, own).squeeze(1)
        self._aligned.margin[t] = margin(means, self._labels)

    def _place(
        self, t: int, inner: Float[Tensor, "n e"], known: Float[Tensor, "m e"] | None, generator: torch.Generator
    ) -> None:
        features, known_features = principal(inner, known if self._compared else None, generator)
        if t == 0:
            self._features = features
            self._guess, self._known_guess = held_out(features, self._labels, self._classes, known_features)
        if known is None or known_features is None:
            return
        self._strange.append(strangeness(features, known_features, generator))
        step = self._searched.index(t)
        self._same[step], self._every[step] = reference_support(inner, self._labels, known, self._reference.labels)
        self._density[step] = influence_density(
            self._train, self._labels, self._reference.trace, self._reference.labels, t, generator
        )

    def _neighbours(self, t: int, generator: torch.Generator) -> None:
        trusted = self._reference if self._reference.trusted else None
        found = directions(_pool(self._train, trusted, t))
        votes = _vote(found, self._labels, trusted, self._classes, _NEIGHBOURS, generator)
        if t == 0:
            self._first_votes = votes
        self._votes.add_(votes, alpha=1 / len(self._searched))
        rows = found[: len(self._labels)]
        self._own_support[self._searched.index(t)] = own_label_support(rows, self._labels, self._classes, generator)


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
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "n c"]:
    pool_labels = labels if reference is None else torch.cat([labels, reference.labels])
    cosines, rows = nearest(pool[: len(labels)], pool, count, generator, torch.arange(len(labels)))
    return vote(cosines, pool_labels[rows], classes)
