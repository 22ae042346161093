"""Shares of a training part that are held out: how many rows of each class, and which shares hold out none."""

import math
from collections.abc import Collection

from service.domain.errors import invalid


def held_out(share: float, rows: int) -> int:
    """How many rows of a class of `rows` are held out: the rounded share, and one row at least stays."""
    return min(round(share * rows), rows - 1)


def refuse_empty_holdout(share: float, sizes: Collection[int]) -> None:
    """Raise Invalid where no class of these sizes gives a row. Whole groups of samples give none there, either."""
    if any(held_out(share, rows) > 0 for rows in sizes):
        return
    largest = max(sizes, default=0)
    rule = "each class gives round(share x its rows) and keeps one row"
    others = "name reference.split, reference.samples or reference.dataset, or leave reference out"
    if largest < 2:
        raise invalid(["reference", "holdout"], f"{rule}, and no class has two rows to train on; {others}")
    raise invalid(
        ["reference", "holdout"],
        f"{rule}: of {share:g} none gives any, and the largest has {largest} rows to train on. From {_least(largest):g} on it "
        f"gives one; or {others}",
    )


def _least(rows: int) -> float:
    """The least share of one significant digit of which a class of so many rows gives one."""
    half = 0.5 / rows
    digit = 10.0 ** math.floor(math.log10(half))
    return next(share for step in range(1, 11) if held_out(share := float(f"{step * digit:.1g}"), rows) > 0)
