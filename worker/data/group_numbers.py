"""Numbers of the groups that canonical files name (`DatasetSpec.group`)."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from worker.data.canonical import Canonical
from worker.signals.sample_groups import SampleGroups


def group_numbers(dataset: Canonical) -> Int[Tensor, " r"] | None:
    """Numbers of the groups of all r rows of a file, see SampleGroups; None where no two rows are of one group."""
    return _numbers(dataset.groups)


def sample_groups(
    dataset: Canonical, rows: Int[Tensor, " n"], reference: Canonical, reference_rows: Int[Tensor, " m"]
) -> SampleGroups | None:
    """Groups of training and reference rows; None where no two rows are of one group.

    One name in two files means one group.
    """
    if reference is dataset:
        numbers = _numbers(dataset.groups)
        return None if numbers is None else SampleGroups(numbers[rows], numbers[reference_rows])
    names = [*(dataset.groups or [None] * len(dataset.ids)), *(reference.groups or [None] * len(reference.ids))]
    numbers = _numbers(names)
    if numbers is None:
        return None
    return SampleGroups(numbers[rows], numbers[len(dataset.ids) + reference_rows])


def _numbers(names: Sequence[str | None]) -> Int[Tensor, " _"] | None:
    # The number of a group is the place of its first row, so that a row without a name has one of its own.
    first: dict[str, int] = {}
    numbers = [place if name is None else first.setdefault(name, place) for place, name in enumerate(names)]
    found = torch.tensor(numbers, dtype=torch.int64)
    return None if torch.equal(found, torch.arange(len(found))) else found
