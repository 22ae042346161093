"""Split of a dataset into the training part, which is ranked, and the reference."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.errors import FieldError, Invalid, invalid
from service.domain.holdout import held_out, refuse_empty_holdout
from service.domain.specs import Reference

_WHOLE = 2_000


@dataclass(frozen=True)
class Partition:
    """Rows of the training dataset's canonical file. `reference` is empty when another dataset or none serves."""

    train: Int[Tensor, " n"]
    reference: Int[Tensor, " m"]


def partition(
    ids: Sequence[str],
    splits: Sequence[str],
    labels: Int[Tensor, " r"],
    reference: Reference | None,
    seed: int,
    groups: Int[Tensor, " r"] | None = None,
) -> Partition:
    """Split the r rows as the job asks; rows of neither part belong to other splits.

    A holdout shares no group, of the numbers `groups`, with the training part; splits and samples are those that the client named.

    Raises Invalid naming the field of the reference where a part would be empty or an id is unknown.
    """
    base = _rows(split == "train" for split in splits)
    held = torch.empty(0, dtype=torch.int64)
    if reference is not None and reference.split is not None:
        held = _rows(split == reference.split for split in splits)
    elif reference is not None and reference.holdout is not None:
        held = _holdout(base, labels, reference.holdout, seed, groups)
    elif reference is not None and reference.samples is not None:
        held = _named(ids, reference.samples)
    train = base[~torch.isin(base, held)]
    if len(train) < 2 or len(torch.unique(labels[train])) < 2:
        raise Invalid(
            "nothing to learn: after taking the reference out, fewer than two classes are left to train on",
            errors=[FieldError(loc=["reference"], msg="leave more of the dataset for training")],
        )
    return Partition(train, held)


@dataclass(frozen=True)
class Columns:
    """Training rows that serve as reference, and how many training rows each of them stands for."""

    rows: Int[Tensor, " m"]
    weights: Float[Tensor, " m"]


def draw_columns(labels: Int[Tensor, " n"], limit: int, seed: int) -> Columns:
    """At most about `limit` training rows, drawn from every class in proportion, at least two of each.

    Up to 2,000 rows are used whole: that is cheap, and exact.
    """
    if len(labels) <= max(limit, _WHOLE):
        return Columns(torch.arange(len(labels)), torch.ones(len(labels)))
    generator = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    weights: list[Tensor] = []
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().squeeze(1)
        # Two at least, so that somebody else speaks for the class of a row that is drawn itself.
        wanted = min(len(members), max(2, round(limit * len(members) / len(labels))))
        rows.append(members[torch.randperm(len(members), generator=generator)[:wanted]])
        weights.append(torch.full((wanted,), len(members) / wanted))
    return Columns(torch.cat(rows), torch.cat(weights))


def _rows(wanted: Iterable[bool]) -> Int[Tensor, " k"]:
    return torch.tensor(list(wanted), dtype=torch.bool).nonzero().squeeze(1)


def _holdout(
    base: Int[Tensor, " n"], labels: Int[Tensor, " r"], share: float, seed: int, groups: Int[Tensor, " r"] | None
) -> Int[Tensor, " m"]:
    # Each class gives its share, and keeps at least one row.
    refuse_empty_holdout(share, torch.unique(labels[base], return_counts=True)[1].tolist())
    generator = torch.Generator().manual_seed(seed)
    if groups is not None:
        return _holdout_of_groups(base, labels[base], share, groups[base], generator)
    parts: list[Tensor] = []
    for label in torch.unique(labels[base]).tolist():
        members = base[labels[base] == label]
        wanted = held_out(share, len(members))
        parts.append(members[torch.randperm(len(members), generator=generator)[:wanted]])
    return torch.cat(parts).sort().values


def _holdout_of_groups(
    base: Int[Tensor, " n"],
    labels: Int[Tensor, " n"],
    share: float,
    groups: Int[Tensor, " n"],
    generator: torch.Generator,
) -> Int[Tensor, " m"]:
    """Whole groups in a random order: each is taken that brings the classes nearer to their shares and leaves some of each."""
    sizes = labels.bincount()
    missing = (share * sizes).round().tolist()
    spare = (sizes - 1).tolist()
    _, place = torch.unique(groups, return_inverse=True)
    members = torch.split(place.argsort(stable=True), place.bincount().tolist())
    taken: list[Tensor] = []
    for number in torch.randperm(len(members), generator=generator).tolist():
        given = Counter(labels[members[number]].tolist())
        nearer = sum(abs(missing[label] - count) - abs(missing[label]) for label, count in given.items())
        if nearer < 0 and all(count <= spare[label] for label, count in given.items()):
            taken.append(members[number])
            for label, count in given.items():
                missing[label] -= count
                spare[label] -= count
    if not taken:
        message = "no whole group is small enough for the share; raise it, or name a split"
        raise invalid(["reference", "holdout"], message)
    return base[torch.cat(taken).sort().values]


def _named(ids: Sequence[str], samples: Sequence[str]) -> Int[Tensor, " m"]:
    places = {sample_id: row for row, sample_id in enumerate(ids)}
    missing = [sample for sample in samples if sample not in places]
    if missing:
        raise Invalid(
            f"{len(missing)} of the reference samples are not in the dataset",
            errors=[FieldError(loc=["reference", "samples"], msg=f"unknown id {sample}") for sample in missing[:20]],
        )
    return torch.tensor(sorted({places[sample] for sample in samples}), dtype=torch.int64)
