"""The layers of the packages tabm and rtdl_num_embeddings, imported without scikit-learn.

Where scikit-learn is installed, rtdl_num_embeddings imports it for bins that are made by trees. Here bins are quantiles, and
the import takes longer than that of torch.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports of packages fail in the block, unless they are imported already."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]  # None is how Python marks what cannot be imported
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]


with without("sklearn"):
    from rtdl_num_embeddings import (
        LinearEmbeddings,
        PeriodicEmbeddings,
        PiecewiseLinearEmbeddings,
        _NLinear,  # the library keeps the parts of its embeddings to itself
        _Periodic,
    )
    from tabm import (
        ElementwiseAffine,
        EnsembleView,
        LinearBatchEnsemble,
        MLPBackboneBatchEnsemble,
        MLPBackboneMiniEnsemble,
    )

__all__ = [
    "ElementwiseAffine",
    "EnsembleView",
    "LinearBatchEnsemble",
    "LinearEmbeddings",
    "MLPBackboneBatchEnsemble",
    "MLPBackboneMiniEnsemble",
    "PeriodicEmbeddings",
    "PiecewiseLinearEmbeddings",
    "_NLinear",
    "_Periodic",
    "without",
]
