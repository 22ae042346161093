"""Which pairs of training and reference rows count, and how many rows each reference row stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.influence.class_segments import ClassSegments
from worker.influence.row_computations import Arrays

_RELATED = "related."
ROWS_OF_COUNTED = {
    "own": 0,
    f"{_RELATED}rows": 0,
    f"{_RELATED}sizes": 0,
}  # axes of arrays that have a number for each training row


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

    def columns_inside(self, rows: slice, labels: Int[Tensor, " m"], classes: int) -> Float[Tensor, "b k"]:
        """How many reference rows of each class are of each training row's group; `labels` are the reference rows'."""
        keys, counts = torch.unique(self.columns * classes + labels, return_counts=True)
        return _looked_up(keys, counts, self.rows[rows, None] * classes + torch.arange(classes)).float()

    def scale(
        self, rows: slice, inside: Float[Tensor, "b k"], of_class: Float[Tensor, " k"], sizes: Float[Tensor, " k"]
    ) -> Float[Tensor, "b k"]:
        """What sums over a class are multiplied with, so that its columns of other groups stand for all its rows of those.

        `inside`: how many columns of each class are of the row's group. `of_class`: how many rows each column of a class stands for;
        `sizes`: how many columns it has.
        """
        classes = len(sizes)
        if self.keys is None or self.counts is None:
            return torch.ones_like(inside)
        own = _looked_up(self.keys, self.counts, self.rows[rows, None] * classes + torch.arange(classes))
        total = of_class * sizes
        left = total - of_class * inside
        return torch.where(left > 0, (total - own) / left.clamp(min=1e-9), 1.0)

    def weight(self, total: float) -> Float[Tensor, " n"]:
        """How many reference rows of other groups stand behind each training row's sums, of `total`."""
        if self.sizes is not None:
            return total - self.sizes.float()
        # By sorting: a matrix of all pairs would grow with their number.
        known, counts = torch.unique(self.columns, return_counts=True)
        return total - _looked_up(known, counts, self.rows).float()


def _looked_up(keys: Int[Tensor, " p"], counts: Int[Tensor, " p"], wanted: Int[Tensor, "*w"]) -> Int[Tensor, "*w"]:
    """The count of each wanted key, by ascending keys; 0 for a key that there is none of."""
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, counts[place], 0)


@dataclass(frozen=True)
class PairsCounted:
    """Which pairs are left out, and what the others stand for.

    `weights`: how many rows each reference row stands for, the same for all of a class; 1 when left out. `own_column` is the
    reference column that is the training row itself, or -1: a row is left out of its own sums. Where columns stand for all
    training rows by their weights, those of its class stand for all others of the class, whether the row is among them or
    not. With `related` not the row alone but its group is left out, and the columns of other groups stand for all rows of
    those.
    """

    weights: Float[Tensor, " m"] | None = None
    own_column: Int[Tensor, " n"] | None = None
    related: Related | None = None

    @property
    def arrays(self) -> Arrays:
        """Those that there are."""
        there = {"weights": self.weights, "own": self.own_column}
        if self.related is not None:
            there |= {f"{_RELATED}{name}": value for name, value in vars(self.related).items()}
        return {name: value for name, value in there.items() if value is not None}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor]) -> "PairsCounted":
        """From arrays by these names."""
        related = {name.removeprefix(_RELATED): value for name, value in arrays.items() if name.startswith(_RELATED)}
        return cls(arrays.get("weights"), arrays.get("own"), Related(**related) if related else None)

    def on(self, device: torch.device) -> "PairsCounted":
        """The same on a device."""
        return PairsCounted.of({name: array.to(device) for name, array in self.arrays.items()})

    def behind(self, samples: int, columns: int) -> Float[Tensor, " n"]:
        """How many reference rows stand behind the sums of each training row."""
        total = float(columns) if self.weights is None else float(self.weights.sum())
        if self.related is not None:
            return self.related.weight(total).clamp(min=1)
        weight = torch.full((samples,), total)
        if self.own_column is not None:
            weight[self.own_column >= 0 if self.weights is None else slice(None)] -= 1
        return weight

    def by_class(self, segments: ClassSegments) -> Float[Tensor, " k"]:
        """How many rows each reference row of a class stands for, in the order of `segments`. Raises ValueError where they differ in a class."""
        found = torch.ones(segments.classes)
        if self.weights is not None:
            for label, columns in segments.present:
                found[label] = self.weights[columns.start]
                if bool((self.weights[columns] != found[label]).any()):
                    raise ValueError("reference rows of one class stand for different numbers of rows")
        return found

    def own_class_share(
        self,
        labels: Int[Tensor, " n"],
        reference_labels: Int[Tensor, " m"],
        sizes: Float[Tensor, " k"],
        weights: Float[Tensor, " k"],
    ) -> Float[Tensor, " n"]:
        """What sums over a row's own class are multiplied with, so that the columns stand for all others of the class.

        `sizes`: how many columns each class has; `weights`: how many rows each of them stands for.
        """
        own, of_class = self.own_column, weights * sizes
        stand_for_all = self.weights is not None and own is not None
        share = (1 - 1 / of_class.clamp(min=1))[labels] if stand_for_all else torch.ones(len(labels))
        if own is not None:
            others = (of_class - weights)[reference_labels]
            drawn = torch.where(others > 0, (of_class[reference_labels] - 1) / others, 1.0)
            inside = own >= 0
            share[inside] = drawn[own[inside]]
        return share

    def in_order(self, order: Int[Tensor, " m"]) -> "PairsCounted":
        """The same for reference columns in another order."""
        weights = None if self.weights is None else self.weights[order]
        own = self.own_column
        if own is not None:
            own = torch.where(own >= 0, order.argsort()[own], -1)
        related = None if self.related is None else replace(self.related, columns=self.related.columns[order])
        return PairsCounted(weights, own, related)
