"""What is kept of the influence of every training row on every reference row: sums by class and the strongest few."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.influence.pairs import PairwiseInfluence
from worker.influence.tracin import CheckpointInfluence


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


def pair_sums(
    pairs: PairwiseInfluence,
    reference_labels: Int[Tensor, " m"],
    classes: int,
    *,
    weights: Float[Tensor, " m"] | None = None,
    own_column: Int[Tensor, " n"] | None = None,
    related: Related | None = None,
    strongest: int = 5,
) -> tuple[PairSums, list[CheckpointInfluence]]:
    """Reduce every pair, in one pass; with the influence at each checkpoint where `pairs` has it, else an empty list.

    `weights`: how many rows each reference row stands for (1 when left out). `own_column` is the reference column that is
    the training row itself, or -1: a row is left out of its own sums. Where columns stand for all training rows by their
        those of its class stand for all others of the class, whether the row is among them or not. With `related` not the row
    alone but its group is left out, and the columns of other groups stand for all rows of those.
    """
    stand_for_all = weights is not None and own_column is not None
    weights = torch.ones(pairs.columns) if weights is None else weights
    by_class = torch.zeros(pairs.columns, classes)
    by_class[torch.arange(pairs.columns), reference_labels] = weights
    samples = len(pairs.labels)
    positive, negative = (SignedInfluence.empty(samples, classes, strongest) for _ in range(2))
    repaired, moved = torch.empty(samples), torch.empty(samples)
    share = _own_class_share(pairs.labels, reference_labels, weights, by_class, own_column, stand_for_all=stand_for_all)
    by_checkpoint: list[CheckpointInfluence] = []
    for block in pairs.blocks():
        rows, labels = block.rows, pairs.labels[block.rows, None]
        own = None if own_column is None else own_column[rows]
        # The block is nobody else's: it is overwritten.
        inside = None if related is None else related.pairs(rows)
        influence = _without_own(block.influence, own, inside)
        positive.set_rows(rows, influence.clamp(min=0), by_class)
        negative.set_rows(rows, influence.clamp_(max=0).neg_(), by_class)
        if related is None or inside is None:
            scale = torch.ones(len(labels), classes).scatter_(1, labels, share[rows, None])
        else:
            scale = related.scale(rows, inside, by_class)
        for side in (positive, negative):
            side.amount[rows] *= scale
            side.count[rows] *= scale
        hurt = negative.amount[rows].argmax(1)
        harm = _without_own(pairs.relabelled(block, hurt), own, inside).clamp_(max=0)
        repaired[rows] = (harm @ by_class * scale).gather(1, labels).squeeze(1)
        helped = positive.amount[rows].topk(2, dim=1).indices[:, 1]
        help_ = _without_own(pairs.relabelled(block, helped), own, inside).clamp_(min=0)
        moved[rows] = (positive.amount[rows] - help_ @ by_class * scale).abs().amax(1)
        by_checkpoint = by_checkpoint or [_empty_like(part, samples) for part in block.checkpoints]
        for whole, part in zip(by_checkpoint, block.checkpoints, strict=True):
            _set_rows(whole, rows, part)
        del block, influence, harm, help_  # before the next block is computed
    weight = weights.sum().expand(samples).clone()
    if related is not None:
        weight = related.weight(float(weights.sum())).clamp(min=1)
    elif stand_for_all:
        weight -= 1
    elif own_column is not None:
        weight[own_column >= 0] -= 1
    return PairSums(positive, negative, weight, repaired, moved), by_checkpoint


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


def _empty_like(part: CheckpointInfluence, samples: int) -> CheckpointInfluence:
    return CheckpointInfluence(*(one.new_empty(samples, *one.shape[1:]) for one in _tensors(part)))


def _set_rows(whole: CheckpointInfluence, rows: slice, part: CheckpointInfluence) -> None:
    for one, of_block in zip(_tensors(whole), _tensors(part), strict=True):
        one[rows] = of_block


def _tensors(part: CheckpointInfluence) -> tuple[Tensor, ...]:
    return part.self_influence, part.norms, part.self_cosine, part.class_influence, part.class_cosines
