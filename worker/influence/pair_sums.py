"""What is kept of the influence of every training row on every reference row: sums by class and the strongest few."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.influence.pairs import PairBlock, PairwiseInfluence
from worker.influence.row_computations import Arrays
from worker.influence.tracin import CheckpointInfluence

_STRONGEST = 5


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
    def empty(cls, samples: int, classes: int, strongest: int) -> "SignedInfluence":
        """Room for n samples, of which nothing is known yet."""
        return cls(
            torch.zeros(samples, classes),
            torch.zeros(samples, classes),
            torch.full((samples, strongest), -1, dtype=torch.int64),
            torch.zeros(samples, strongest),
        )

    def set_rows(self, rows: slice, strength: Float[Tensor, "b m"], by_class: Float[Tensor, "m k"]) -> None:
        """Reduce `|I_ij|` of some rows, 0 where the sign is the other one, to what is kept; `strength` is overwritten."""
        self.amount[rows] = strength @ by_class
        top = strength.topk(min(self.values.shape[1], strength.shape[1]), dim=1)
        self.strongest[rows, : top.values.shape[1]] = torch.where(top.values > 0, top.indices, -1)
        self.values[rows, : top.values.shape[1]] = top.values
        self.count[rows] = strength.gt_(0) @ by_class


@dataclass(frozen=True)
class Related:
    """Numbers of the groups of n training rows and m reference rows: influence inside a group is left out.

    `sizes`: of each training row's group; `counts`: of the training rows of one group and one class, by the ascending `keys`
    `group * classes + class`. Both are None for a reference of its own, whose columns stand for themselves.
    """

    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " m"]
    sizes: Int[Tensor, " n"] | None = None
    keys: Int[Tensor, " p"] | None = None
    counts: Int[Tensor, " p"] | None = None

    @classmethod
    def in_training_set(
        cls, groups: Int[Tensor, " n"], columns: Int[Tensor, " m"], labels: Int[Tensor, " n"], classes: int
    ) -> "Related":
        """Where `columns` of the training set stand for all of it."""
        keys, counts = torch.unique(groups * classes + labels, return_counts=True)
        _, inverse, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
        return cls(groups, groups[columns], sizes[inverse], keys, counts)

    def pairs(self, rows: slice) -> Bool[Tensor, "b m"]:
        """Whether a training row and a reference row are of one group."""
        found: Bool[Tensor, "b m"] = self.rows[rows, None] == self.columns[None, :]
        return found

    def scale(self, rows: slice, inside: Bool[Tensor, "b m"], by_class: Float[Tensor, "m k"]) -> Float[Tensor, "b k"]:
        """What sums over a class are multiplied with, so that its columns of other groups stand for all its rows of those."""
        classes = by_class.shape[1]
        if self.keys is None or self.counts is None:
            return torch.ones(len(inside), classes)
        wanted = self.rows[rows, None] * classes + torch.arange(classes)
        place = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        own = torch.where(self.keys[place] == wanted, self.counts[place], 0)
        total, left = by_class.sum(0), by_class.sum(0) - inside.float() @ by_class
        return torch.where(left > 0, (total - own) / left.clamp(min=1e-9), 1.0)

    def weight(self, total: float) -> Float[Tensor, " n"]:
        """How many reference rows of other groups stand behind each training row's sums, of `total`."""
        if self.sizes is not None:
            return total - self.sizes.float()
        # By sorting: a matrix of all pairs would grow with their number.
        known, counts = torch.unique(self.columns, return_counts=True)
        place = torch.searchsorted(known, self.rows).clamp(max=len(known) - 1)
        return total - torch.where(known[place] == self.rows, counts[place], 0).float()


@dataclass(frozen=True)
class PairSums:
    """What is kept of every pair. `weight`: how many reference rows stand behind each training row's sums.

    `repaired`: relabelled to the class that it hurts most, how little a row hurts the reference of the label that it was
    given, at the last checkpoint: `sum_{j: y_j = y_i} min(I'_ij, 0)`. `moved`: relabelled to the class that it helps second
    most, by how much its help of a class changes at most: `max_c |P_ic - P'_ic|`. Both in units of loss.
    """

    positive: SignedInfluence
    negative: SignedInfluence
    weight: Float[Tensor, " n"]
    repaired: Float[Tensor, " n"]
    moved: Float[Tensor, " n"]


class PairRows:
    """What is kept of the pairs of some training rows: a function of a range of rows.

    `weights`: how many rows each reference row stands for (1 when left out). `own_column` is the reference column that is
    the training row itself, or -1: a row is left out of its own sums. Where columns stand for all training rows by their
    weights, those of its class stand for all others of the class, whether the row is among them or not. With `related` not
    the row alone but its group is left out, and the columns of other groups stand for all rows of those.
    """

    def __init__(
        self,
        pairs: PairwiseInfluence,
        reference_labels: Int[Tensor, " m"],
        classes: int,
        *,
        weights: Float[Tensor, " m"] | None = None,
        own_column: Int[Tensor, " n"] | None = None,
        related: Related | None = None,
        strongest: int = _STRONGEST,
    ) -> None:
        self._pairs, self._classes, self._strongest = pairs, classes, strongest
        self._own, self._related = own_column, related
        counted = torch.ones(pairs.columns) if weights is None else weights
        self._by_class = torch.zeros(pairs.columns, classes)
        self._by_class[torch.arange(pairs.columns), reference_labels] = counted
        self._share = _own_class_share(
            pairs.labels,
            reference_labels,
            counted,
            self._by_class,
            own_column,
            stand_for_all=weights is not None and own_column is not None,
        )

    def __call__(self, rows: slice) -> Arrays:
        """Arrays of PairSums and, by checkpoint, of CheckpointInfluence, for some rows."""
        count = rows.stop - rows.start
        positive, negative = (SignedInfluence.empty(count, self._classes, self._strongest) for _ in range(2))
        found = {"repaired": torch.empty(count), "moved": torch.empty(count)}
        for name, side in (("positive", positive), ("negative", negative)):
            found |= {f"{name}.{part}": one for part, one in vars(side).items()}
        for block in self._pairs.blocks(rows):
            self._reduce(block, slice(block.rows.start - rows.start, block.rows.stop - rows.start), found)
            del block  # before the next one is computed
        return found

    def _reduce(self, block: PairBlock, into: slice, found: Arrays) -> None:
        rows, labels, by_class = block.rows, self._pairs.labels[block.rows, None], self._by_class
        positive, negative = _side("positive", found), _side("negative", found)
        own = None if self._own is None else self._own[rows]
        # The block is nobody else's: it is overwritten.
        inside = None if self._related is None else self._related.pairs(rows)
        influence = _without_own(block.influence, own, inside)
        positive.set_rows(into, influence.clamp(min=0), by_class)
        negative.set_rows(into, influence.clamp_(max=0).neg_(), by_class)
        if self._related is None or inside is None:
            scale = torch.ones(len(labels), self._classes).scatter_(1, labels, self._share[rows, None])
        else:
            scale = self._related.scale(rows, inside, by_class)
        for side in (positive, negative):
            side.amount[into] *= scale
            side.count[into] *= scale
        hurt = negative.amount[into].argmax(1)
        harm = _without_own(self._pairs.relabelled(block, hurt), own, inside).clamp_(max=0)
        found["repaired"][into] = (harm @ by_class * scale).gather(1, labels).squeeze(1)
        helped = positive.amount[into].topk(2, dim=1).indices[:, 1]
        help_ = _without_own(self._pairs.relabelled(block, helped), own, inside).clamp_(min=0)
        found["moved"][into] = (positive.amount[into] - help_ @ by_class * scale).abs().amax(1)
        for t, checkpoint in enumerate(block.checkpoints):
            for name, part in vars(checkpoint).items():
                whole = found.setdefault(f"{t}.{name}", part.new_empty(len(found["moved"]), *part.shape[1:]))
                whole[into] = part


def weight_behind(
    samples: int,
    columns: int,
    weights: Float[Tensor, " m"] | None,
    own_column: Int[Tensor, " n"] | None,
    related: Related | None,
) -> Float[Tensor, " n"]:
    """How many reference rows stand behind the sums of each training row, with the arguments of PairRows."""
    total = float(columns) if weights is None else float(weights.sum())
    if related is not None:
        return related.weight(total).clamp(min=1)
    weight = torch.full((samples,), total)
    if own_column is not None:
        weight[own_column >= 0 if weights is None else slice(None)] -= 1
    return weight


def sums_of(found: Arrays, weight: Float[Tensor, " n"], checkpoints: int) -> tuple[PairSums, list[CheckpointInfluence]]:
    """What PairRows gave of all training rows; with the influence at each checkpoint where it has it, else an empty list."""
    by_checkpoint = [
        CheckpointInfluence(**{one.name: found[f"{t}.{one.name}"] for one in fields(CheckpointInfluence)})
        for t in range(checkpoints)
        if f"{t}.norms" in found
    ]
    sides = _side("positive", found), _side("negative", found)
    return PairSums(*sides, weight, found["repaired"], found["moved"]), by_checkpoint


def pair_sums(
    pairs: PairwiseInfluence,
    reference_labels: Int[Tensor, " m"],
    classes: int,
    *,
    weights: Float[Tensor, " m"] | None = None,
    own_column: Int[Tensor, " n"] | None = None,
    related: Related | None = None,
    strongest: int = _STRONGEST,
) -> tuple[PairSums, list[CheckpointInfluence]]:
    """Reduce every pair in this process, as PairRows does; see `sums_of`."""
    rows = PairRows(
        pairs,
        reference_labels,
        classes,
        weights=weights,
        own_column=own_column,
        related=related,
        strongest=strongest,
    )
    samples = len(pairs.labels)
    weight = weight_behind(samples, pairs.columns, weights, own_column, related)
    return sums_of(rows(slice(0, samples)), weight, pairs.checkpoints)


def _side(name: str, found: Arrays) -> SignedInfluence:
    return SignedInfluence(**{one.name: found[f"{name}.{one.name}"] for one in fields(SignedInfluence)})


def _own_class_share(
    labels: Int[Tensor, " n"],
    reference_labels: Int[Tensor, " m"],
    weights: Float[Tensor, " m"],
    by_class: Float[Tensor, "m k"],
    own_column: Int[Tensor, " n"] | None,
    *,
    stand_for_all: bool,
) -> Float[Tensor, " n"]:
    """What sums over a row's own class are multiplied with, so that the columns stand for all others of the class."""
    of_class = by_class.sum(0)
    share = (1 - 1 / of_class.clamp(min=1))[labels] if stand_for_all else torch.ones(len(labels))
    if own_column is not None:
        others = of_class[reference_labels] - weights
        drawn = torch.where(others > 0, (of_class[reference_labels] - 1) / others, 1.0)
        inside = own_column >= 0
        share[inside] = drawn[own_column[inside]]
    return share


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
