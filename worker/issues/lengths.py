"""Values that are far out: lengths, areas and other numbers above 0, of which most are usual."""

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
_RANGES = 3.0


def far_out(values: npt.NDArray[np.float64] | npt.NDArray[np.int64], usual: Flags, times: float) -> tuple[Flags, Flags]:
    """Whether each value is far below, and far above, those that `usual` names.

    Far is three quartile ranges away from the quartiles of the logarithm (Tukey 1977), and `times` less or more than the median.
    """
    logs = np.log(np.maximum(values, 1e-9))
    if not usual.any():
        return np.zeros(len(values), bool), np.zeros(len(values), bool)
    low, middle, high = np.quantile(logs[usual], [0.25, 0.5, 0.75])
    margin, least = _RANGES * (high - low), np.log(times)
    return logs < min(low - margin, middle - least), logs > max(high + margin, middle + least)
