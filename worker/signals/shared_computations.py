"""Computations over rows by the names that recipes have."""

from collections.abc import Callable, Mapping

from torch import Tensor

from worker.influence import pair_computation
from worker.influence.row_computations import Numbers, OfRows
from worker.signals import anomaly, class_computation, held_out, trusted

OPENED_BY: Mapping[str, Callable[[Mapping[str, Tensor], Numbers], OfRows]] = {
    pair_computation.NAME: pair_computation.open_pairs,
    trusted.NAME: trusted.open_comparison,
    class_computation.NAME: class_computation.open_class_influence,
    held_out.ERRORS: held_out.open_errors,
    held_out.SCORES: held_out.open_scores,
    anomaly.ISOLATION: anomaly.open_isolation,
}
