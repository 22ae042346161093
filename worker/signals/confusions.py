"""Margins against the classes that a label is given in place of: AUM with the confusions of the labels.

Predictions that have not seen a sample's own label tell which label stands in place of which class. Classes that overlap
are confused in both directions, so an excess of one direction comes from wrong labels. A class whose samples often get a
label counts for more in the margin of samples with that label; a class whose samples never do counts for less.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.blend import mixture_weight
from worker.signals.confident import NOT_ASSIGNED, assigned_classes
from worker.signals.margin import margin

# Chosen by benchmarks/results/blends.md.
_SURE = 2.0  # standard deviations that an excess of one direction must exceed
_EXCESS = 8.0  # weight of that excess beside the counts of both directions
_CLEAR = 0.2  # share of the contradictions, in excess of the other direction, from which on confusions count in full
_MEMORISED = 1 / 3  # share of the first checkpoint's contradictions that later features take back
_LARGEST = 0.5  # weight of the held-out prediction beside the network's
_PROBABILITY, _SMALLEST = 1e-3, 1e-30


@dataclass(frozen=True)
class ConfusionMargin:
    """`scores`: log odds, mean over checkpoints, that another class suits better; higher = more suspicious.

    `held_out`: log odds of the likeliest other class by the held-out prediction alone. `directed`: from 0 to 1, how clearly labels
    are confused in one direction; at 0 no class counts for more than another.
    """

    scores: Float[Tensor, " n"]
    held_out: Float[Tensor, " n"]
    directed: float


def held_out_prediction(
    guess: Float[Tensor, "n c"],
    first: Float[Tensor, "n c"],
    mean: Float[Tensor, "n c"],
    frozen: Float[Tensor, "n c"] | None,
    labels: Int[Tensor, " n"],
) -> Float[Tensor, "n c"]:
    """Probabilities by what has not seen the sample's own label: the likeliest mixture of a guess and the neighbours' vote.

    `frozen`: the vote in features that no training changed, used where there is one. Else the vote is `mean`, over
    checkpoints, or `first`, of the first one, where later features take back a third of what that contradicts: they have
    then learnt the wrong labels too.
    """
    own_guess = _probabilities(guess)
    if frozen is not None:
        return _mixture(own_guess, _probabilities(frozen), labels)
    early, late = (_mixture(own_guess, _probabilities(votes), labels) for votes in (first, mean))
    contradicts = 1 - _agreement(early, labels)
    return early if _agreement(late, labels) - _agreement(early, labels) > _MEMORISED * contradicts else late


def confusion_margin(
    logits: Float[Tensor, "t n c"], held_out: Float[Tensor, "n c"], labels: Int[Tensor, " n"]
) -> ConfusionMargin:
    """Log odds by the network's probabilities at each checkpoint, corrected by the held-out ones for what it has memorised.

    One label at a time, so that memory holds neither a matrix of all pairs of classes nor a copy of the logits.
    """
    memorised = _agreement(logits[-1], labels) - _agreement(held_out, labels)
    share = min(_LARGEST, max(0.0, memorised))
    counts = _Counts.over(held_out, labels)
    scores = torch.empty(len(labels))
    order, sizes = labels.argsort(stable=True), labels.bincount(minlength=counts.classes).tolist()
    for label, rows in enumerate(torch.split(order, sizes)):
        if not len(rows):
            continue
        weights = counts.weights(label)
        total = torch.zeros(len(rows), dtype=torch.float64)
        for one in logits:
            mixed = (1 - share) * torch.softmax(one[rows].double(), 1) + share * held_out[rows].double()
            own = mixed[:, label].clamp(min=_SMALLEST).log()
            total += (mixed @ weights).clamp(min=_SMALLEST).log() - own
        scores[rows] = (total / len(logits)).float()
    return ConfusionMargin(scores, -margin(held_out.clamp(min=_SMALLEST).log(), labels), counts.directed)


def _probabilities(scores: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Scores of a linear classifier may be negative, and votes 0."""
    positive = scores.clamp(min=_PROBABILITY)
    return positive / positive.sum(1, keepdim=True)


def _mixture(
    first: Float[Tensor, "n c"], second: Float[Tensor, "n c"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "n c"]:
    own = labels[:, None]
    chance = (labels.bincount() / len(labels))[labels]
    share = mixture_weight(first.gather(1, own).squeeze(1), second.gather(1, own).squeeze(1), chance)
    return (1 - share) * first + share * second


def _agreement(scores: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> float:
    return float((scores.argmax(1) == labels).double().mean())


@dataclass(frozen=True)
class _Counts:
    """Of the contradicted samples, how many the held-out prediction puts in `found` while `label` is given: pairs that occur.

    `excess`: by how many more than the reverse, beyond chance. `of_class`: contradicted samples of each class, with one more
    for each other label.
    """

    classes: int
    found: Int[Tensor, " p"]
    label: Int[Tensor, " p"]
    count: Float[Tensor, " p"]
    excess: Float[Tensor, " p"]
    of_class: Float[Tensor, " c"]
    directed: float

    @classmethod
    def over(cls, held_out: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> "_Counts":
        classes = held_out.shape[1]
        assigned = assigned_classes(held_out, labels)
        contradicted = (assigned != NOT_ASSIGNED) & (assigned != labels)
        found, given = assigned[contradicted], labels[contradicted]
        keys, number = torch.unique(found * classes + given, return_counts=True)
        count = number.double()
        found, given = keys // classes, keys % classes
        reverse = _at(keys, count, given * classes + found)
        excess = (count - reverse - _SURE * (count + reverse).sqrt()).clamp(min=0)
        of_class = torch.full((classes,), float(classes - 1), dtype=torch.float64).index_add_(0, found, count)
        total = float(count.sum())
        directed = min(1.0, float(excess.sum()) / total / _CLEAR) if total else 0.0
        return cls(classes, found, given, count, excess, of_class, directed)

    def weights(self, label: int) -> Float[Tensor, " c"]:
        """What each class counts for in the margin of samples with this label."""
        here = self.label == label
        number = torch.ones(self.classes, dtype=torch.float64).index_add_(
            0, self.found[here], self.count[here] + _EXCESS * self.excess[here]
        )
        result = 1 / (self.classes - 1) + self.directed * number / self.of_class
        result[label] = 0
        return result


def _at(keys: Int[Tensor, " p"], values: Float[Tensor, " p"], wanted: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Values of the wanted keys, which are sorted ones or none; 0 of others."""
    if not len(keys):
        return values
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, values[place], 0.0)
