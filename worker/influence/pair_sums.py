"""What is kept of the influence of every training row on every reference row: sums by class and the strongest few."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.influence.class_segments import ClassSegments
from worker.influence.gradient_sources import ReorderedGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pairs import PairBlock, PairwiseInfluence
from worker.influence.row_computations import Arrays
from worker.influence.tracin import CheckpointInfluence

STRONGEST = 5
_CHUNK = 64  # columns
_LONG = 16 * _CHUNK  # shorter rows are searched as they are


@dataclass(frozen=True)
class SignedInfluence:
    """One sign of the influence of n training rows, by the reference's k classes, and the strongest s of that sign.

    `amount`: sums of `|I_ij|`, in units of loss. `count`: numbers of pairs. Both are weighted by how many rows a reference
    row stands for. `strongest`: columns of the reference, -1 where there is none; `values`: their `|I_ij|`, descending.
    """

    amount: Float[Tensor, "n k"]
    count: Float[Tensor, "n k"]
    strongest: Int[Tensor, "n s"]
    values: Float[Tensor, "n s"]

    @classmethod
    def empty(cls, samples: int, classes: int) -> "SignedInfluence":
        """Room for n samples, of which nothing is known yet."""
        return cls(
            torch.zeros(samples, classes),
            torch.zeros(samples, classes),
            torch.full((samples, STRONGEST), -1, dtype=torch.int64),
            torch.zeros(samples, STRONGEST),
        )


@dataclass(frozen=True)
class Relabelled:
    """Influence at the last checkpoint of training rows with other labels, in units of loss.

    `repaired`: relabelled to the class that it hurts most, how little a row hurts the reference of the label that it was
    given: `sum_{j: y_j = y_i} min(I'_ij, 0)`. `moved`: relabelled to the class that it helps second most, by how much its help
    of a class changes at most: `max_c |P_ic - P'_ic|`.
    """

    repaired: Float[Tensor, " n"]
    moved: Float[Tensor, " n"]


@dataclass(frozen=True)
class PairSums:
    """What is kept of every pair. `weight`: how many reference rows stand behind each training row's sums.

    `relabelled` is None where nobody asked for it: it takes two more passes over all pairs.
    """

    positive: SignedInfluence
    negative: SignedInfluence
    weight: Float[Tensor, " n"]
    relabelled: Relabelled | None


class PairRows:
    """What is kept of the pairs of some training rows: a function of a range of rows."""

    def __init__(self, inputs: PairInputs) -> None:
        labels, reference, reference_labels = inputs.labels, inputs.reference, inputs.reference_labels
        counted = inputs.counted
        # By class, so that sums over a class are sums over neighbours.
        self._order = reference_labels.argsort(stable=True)
        if bool((self._order.diff() < 0).any()):
            reference, reference_labels = ReorderedGradients(reference, self._order), reference_labels[self._order]
            counted = counted.in_order(self._order)
        self._segments = ClassSegments.of(reference_labels, inputs.classes)
        self._counted, self._relabelled = counted, inputs.relabelled
        self._weights = counted.by_class(self._segments)
        self._share = counted.own_class_share(labels, reference_labels, self._segments.sizes, self._weights)
        segments = self._segments if inputs.by_checkpoint else None
        self._pairs = PairwiseInfluence(inputs.train, labels, reference, reference_labels, inputs.rates, segments)

    def __call__(self, rows: slice) -> Arrays:
        """Arrays of PairSums and, by checkpoint, of CheckpointInfluence, for some rows."""
        count = rows.stop - rows.start
        positive, negative = (SignedInfluence.empty(count, self._segments.classes) for _ in range(2))
        names = [one.name for one in fields(Relabelled)] if self._relabelled else []
        found = {name: torch.empty(count) for name in names}
        for name, side in (("positive", positive), ("negative", negative)):
            found |= {f"{name}.{part}": one for part, one in vars(side).items()}
        for block in self._pairs.blocks(rows):
            self._reduce(block, slice(block.rows.start - rows.start, block.rows.stop - rows.start), found)
            del block  # before the next one is computed
        return found

    def _reduce(self, block: PairBlock, into: slice, found: Arrays) -> None:
        rows, labels, related = block.rows, self._pairs.labels[block.rows, None], self._counted.related
        positive, negative = _side("positive", found), _side("negative", found)
        own = None if self._counted.own_column is None else self._counted.own_column[rows]
        inside = None if related is None else related.pairs(rows)
        if related is None or inside is None:
            scale = torch.ones(len(labels), self._segments.classes).scatter_(1, labels, self._share[rows, None])
        else:
            counts = self._segments.sums(inside.float())
            scale = related.scale(rows, counts, self._weights, self._segments.sizes)
        scale *= self._weights
        # The block is nobody else's: it is overwritten.
        influence = _without_own(block.influence, own, inside)
        self._set_rows(positive, into, influence.clamp(min=0), scale)
        self._set_rows(negative, into, influence.clamp_(max=0).neg_(), scale)
        if self._relabelled:
            self._relabel(block, into, scale, own, inside, found)
        for t, checkpoint in enumerate(block.checkpoints):
            for name, part in vars(checkpoint).items():
                whole = found.setdefault(f"{t}.{name}", part.new_empty(len(positive.count), *part.shape[1:]))
                whole[into] = part

    def _relabel(
        self,
        block: PairBlock,
        into: slice,
        scale: Float[Tensor, "b k"],
        own: Int[Tensor, " b"] | None,
        inside: Bool[Tensor, "b m"] | None,
        found: Arrays,
    ) -> None:
        labels, positive = self._pairs.labels[block.rows, None], found["positive.amount"][into]
        hurt = found["negative.amount"][into].argmax(1)
        harm = _without_own(self._pairs.relabelled(block, hurt), own, inside).clamp_(max=0)
        found["repaired"][into] = (self._segments.sums(harm) * scale).gather(1, labels).squeeze(1)
        helped = positive.topk(2, dim=1).indices[:, 1]
        help_ = _without_own(self._pairs.relabelled(block, helped), own, inside).clamp_(min=0)
        found["moved"][into] = (positive - self._segments.sums(help_) * scale).abs().amax(1)

    def _set_rows(
        self, side: SignedInfluence, into: slice, strength: Float[Tensor, "b m"], scale: Float[Tensor, "b k"]
    ) -> None:
        """Reduce `|I_ij|` of some rows, 0 where the sign is the other one, to what is kept; `strength` is overwritten."""
        side.amount[into] = self._segments.sums(strength) * scale
        values, columns = largest(strength, min(side.values.shape[1], strength.shape[1]))
        side.strongest[into, : columns.shape[1]] = torch.where(values > 0, self._order[columns], -1)
        side.values[into, : values.shape[1]] = values
        side.count[into] = self._segments.sums(strength.gt_(0)) * scale


def sums_of(found: Arrays, weight: Float[Tensor, " n"], checkpoints: int) -> tuple[PairSums, list[CheckpointInfluence]]:
    """What PairRows gave of all training rows; with the influence at each checkpoint where it has it, else an empty list."""
    by_checkpoint = [
        CheckpointInfluence(**{one.name: found[f"{t}.{one.name}"] for one in fields(CheckpointInfluence)})
        for t in range(checkpoints)
        if f"{t}.norms" in found
    ]
    sides = _side("positive", found), _side("negative", found)
    relabelled = Relabelled(found["repaired"], found["moved"]) if "repaired" in found else None
    return PairSums(*sides, weight, relabelled), by_checkpoint


def _side(name: str, found: Arrays) -> SignedInfluence:
    return SignedInfluence(**{one.name: found[f"{name}.{one.name}"] for one in fields(SignedInfluence)})


def largest(strength: Float[Tensor, "b m"], count: int) -> tuple[Float[Tensor, "b s"], Int[Tensor, "b s"]]:
    """The largest of each row and their columns, as topk gives them.

    In rows that are long, it looks for them in the chunks with the largest maxima alone: finding maxima is fast.
    """
    columns = strength.shape[1]
    whole = columns - columns % _CHUNK
    if whole < _LONG:
        return strength.topk(count, dim=1)
    maxima = strength[:, :whole].view(len(strength), -1, _CHUNK).amax(2)
    chunks = maxima.topk(count, dim=1).indices
    near = (chunks[:, :, None] * _CHUNK + torch.arange(_CHUNK)).flatten(1)
    candidates = torch.cat([near, torch.arange(whole, columns).expand(len(near), -1)], 1)
    values, places = strength.gather(1, candidates).topk(count, dim=1)
    return values, candidates.gather(1, places)


def _without_own(
    influence: Float[Tensor, "b m"], own: Int[Tensor, " b"] | None, related: Bool[Tensor, "b m"] | None
) -> Float[Tensor, "b m"]:
    """Set each row's influence on itself, or on its group, to 0, in place."""
    if related is not None:
        influence.masked_fill_(related, 0)
    elif own is not None:
        inside = (own >= 0).nonzero().squeeze(1)
        influence[inside, own[inside]] = 0
    return influence
