"""Computations over rows by the names that recipes have."""

from collections.abc import Callable, Mapping

from torch import Tensor

from worker.influence import pair_computation
from worker.influence.row_computations import Numbers, OfRows
from worker.signals import trusted

OPENED_BY: Mapping[str, Callable[[Mapping[str, Tensor], Numbers], OfRows]] = {
    pair_computation.NAME: pair_computation.open_pairs,
    trusted.NAME: trusted.open_comparison,
}
