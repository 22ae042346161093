"""Margins against the classes that a label is given in place of: AUM with the confusions of the labels.

Predictions that have not seen a sample's own label tell which label stands in place of which class. Classes that overlap
are confused in both directions, so an excess of one direction comes from wrong labels, unless the sizes of the classes
explain it. A class whose samples often get a label counts for more in the margin of samples with that label. Where no
direction is clear and nothing is memorised, the margin is AUM itself.
"""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.signals.blend import mixture_weight
from worker.signals.confident import NOT_ASSIGNED, assigned_classes
from worker.signals.margin import margin

# Chosen by benchmarks/results/blends.md.
_SURE = 2.0  # standard deviations that an excess of one direction must exceed
_EXCESS = 8.0  # weight of that excess beside the counts of both directions
_CLEAR = 0.2  # share of the contradictions, in excess of the other direction, from which on confusions count in full
_SUREST = 7  # tenths of the samples of each class that are counted: errors are anywhere, overlap is at the edge
_MEMORISED = 1 / 3  # share of the first checkpoint's contradictions that later features take back
_LARGEST = 0.5  # weight of the held-out prediction beside the network's, at most
_STEEP, _CHANCE = (
    2.0,
    0.02,
)  # the same by the share of the labels that the network has memorised, beyond what chance gives
_PROBABILITY, _SMALLEST = 1e-3, 1e-30
_BY_TREES = 0.6  # weight of trees beside a network; see benchmarks/results/trees.md


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
    by_trees: Float[Tensor, "n c"] | None = None,
) -> Float[Tensor, "n c"]:
    """Probabilities by what has not seen the sample's own label: the likeliest mixture of a guess and the neighbours' vote.

    `frozen`: the vote in features that no training changed, used where there is one. Else the vote is `mean`, over
    checkpoints, or `first`, of the first one, where later features take back a third of what that contradicts: they have
    then learnt the wrong labels too. `by_trees`: what trees beside the network say, mixed with the others in the same way.
    """
    own_guess = _probabilities(guess)
    if frozen is not None:
        found = likeliest_mixture(own_guess, _probabilities(frozen), labels)
    else:
        early, late = (likeliest_mixture(own_guess, _probabilities(votes), labels) for votes in (first, mean))
        contradicts = 1 - _agreement(early, labels)
        found = early if _agreement(late, labels) - _agreement(early, labels) > _MEMORISED * contradicts else late
    return found if by_trees is None else likeliest_mixture(found, by_trees, labels)


def confusion_margin(
    logits: Float[Tensor, "t n c"],
    held_out: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    by_trees: Float[Tensor, "n c"] | None = None,
) -> ConfusionMargin:
    """Log odds by the network's probabilities at each checkpoint, corrected by the held-out ones for what it has memorised.

    With `by_trees`, probabilities that trees beside the network give, the network's are those of both together.
    One label at a time, so that memory holds neither a matrix of all pairs of classes nor a copy of the logits.
    """
    last = logits[-1] if by_trees is None else _together(logits[-1], by_trees)
    memorised = _agreement(last, labels) - _agreement(held_out, labels)
    share = torch.tensor(min(_LARGEST, _STEEP * max(0.0, memorised - _CHANCE)), dtype=torch.float64)
    counts = _Counts.over(held_out, labels)
    scores = torch.empty(len(labels))
    order, sizes = labels.argsort(stable=True), labels.bincount(minlength=counts.classes).tolist()
    for label, rows in enumerate(torch.split(order, sizes)):
        if not len(rows):
            continue
        weights = counts.weights(label).log()
        unseen = held_out[rows].double().clamp(min=_SMALLEST).log()
        total = torch.zeros(len(rows), dtype=torch.float64)
        for one in logits:
            known = (
                torch.log_softmax(one[rows].double(), 1) if by_trees is None else _together(one[rows], by_trees[rows])
            )
            if share > 0:
                known = torch.logaddexp((1 - share).log() + known, share.log() + unseen)
            total += (known + weights).amax(1) - known[:, label]
        scores[rows] = (total / len(logits)).float()
    return ConfusionMargin(scores, -margin(held_out.clamp(min=_SMALLEST).log(), labels), counts.directed)


def _together(logits: Float[Tensor, "b c"], by_trees: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
    """Logarithms of what a network and the trees beside it say together."""
    network = torch.log_softmax(logits.double(), 1) + log(1 - _BY_TREES)
    return torch.logaddexp(network, by_trees.double().clamp(min=_SMALLEST).log() + log(_BY_TREES))


def _probabilities(scores: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Scores of a linear classifier may be negative, and votes 0."""
    positive = scores.clamp(min=_PROBABILITY)
    return positive / positive.sum(1, keepdim=True)


def likeliest_mixture(
    first: Float[Tensor, "n c"], second: Float[Tensor, "n c"], labels: Int[Tensor, " n"]
) -> Float[Tensor, "n c"]:
    """The mixture of two predictions, neither of which has seen a sample's own label, that makes the labels likeliest."""
    own = labels[:, None]
    chance = (labels.bincount() / len(labels))[labels]
    share = mixture_weight(first.gather(1, own).squeeze(1), second.gather(1, own).squeeze(1), chance)
    return (1 - share) * first + share * second


def _agreement(scores: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> float:
    return float((scores.argmax(1) == labels).double().mean())


@dataclass(frozen=True)
class _Counts:
    """Of the surest samples that the held-out prediction puts in `found`, how many are labelled `label`: pairs that occur.

    `excess`: by how many more than the reverse, beyond chance and beyond what the sizes of the classes explain. `of_class`:
    contradicted samples of each class, with one more for each other label.
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
        surest = _surest(held_out, assigned)
        placed = assigned[surest].bincount(minlength=classes).double()
        contradicted = surest & (assigned != labels)
        keys, number = torch.unique(assigned[contradicted] * classes + labels[contradicted], return_counts=True)
        count = number.double()
        found, given = keys // classes, keys % classes
        reverse = _at(keys, count, given * classes + found)
        excess = _excess(count, reverse, labels.bincount(minlength=classes).double(), placed, found, given)
        of_class = torch.full((classes,), float(classes - 1), dtype=torch.float64).index_add_(0, found, count)
        total = float(count.sum())
        directed = min(1.0, float(excess.sum()) / total / _CLEAR) if total else 0.0
        return cls(classes, found, given, count, excess, of_class, directed)

    def weights(self, label: int) -> Float[Tensor, " c"]:
        """What each class counts for in the margin of samples with this label: 1 where no direction is clear, 0 the label."""
        here = self.label == label
        number = torch.ones(self.classes, dtype=torch.float64).index_add_(
            0, self.found[here], self.count[here] + _EXCESS * self.excess[here]
        )
        result = 1 + self.directed * (self.classes - 1) * number / self.of_class
        result[label] = 0
        return result


def _surest(held_out: Float[Tensor, "n c"], assigned: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """The samples of each assigned class whose probability of it exceeds that of any other class the most."""
    rows = (assigned != NOT_ASSIGNED).nonzero().squeeze(1)
    own = held_out[rows].gather(1, assigned[rows][:, None])
    lead = own.squeeze(1) - held_out[rows].scatter(1, assigned[rows][:, None], -torch.inf).amax(1)
    rows = rows[lead.argsort(descending=True, stable=True)]
    rows = rows[assigned[rows].argsort(stable=True)]
    sizes = assigned[rows].bincount(minlength=held_out.shape[1])
    place = torch.arange(len(rows)) - (sizes.cumsum(0) - sizes)[assigned[rows]]
    kept = torch.zeros(len(held_out), dtype=torch.bool)
    kept[rows[place < ((_SUREST * sizes + 9) // 10)[assigned[rows]]]] = True
    return kept


def _excess(
    count: Float[Tensor, " p"],
    reverse: Float[Tensor, " p"],
    sizes: Float[Tensor, " c"],
    placed: Float[Tensor, " c"],
    found: Int[Tensor, " p"],
    given: Int[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """The smallest of three: of the counts, of their shares of the labels, and of their shares of the predictions.

    Shares of the labels are brought to the size of the label, shares of the predictions to the number of those in `found`. A
    class in which hardly anything is placed says little of the reverse: its share is taken with one sample more, which is
    contradicted as often as all are.
    """
    alike = sizes[given] / sizes[found]
    usual = count.sum() / placed.sum()

    def share(number: Float[Tensor, " p"], of: Int[Tensor, " p"]) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        part = (number + usual) / (placed[of] + 1)
        return part, part * (1 - part) / (placed[of] + 2)

    (there, there_varies), (back, back_varies) = share(count, found), share(reverse, given)
    by_number = count - reverse - _SURE * (count + reverse).sqrt()
    by_label = count - alike * reverse - _SURE * (count + alike.square() * reverse).sqrt()
    by_prediction = placed[found] * (there - back - _SURE * (there_varies + back_varies).sqrt())
    return torch.stack([by_number, by_label, by_prediction]).amin(0).clamp(min=0)


def _at(keys: Int[Tensor, " p"], values: Float[Tensor, " p"], wanted: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """Values of the wanted keys, which are sorted ones or none; 0 of others."""
    if not len(keys):
        return values
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, values[place], 0.0)
