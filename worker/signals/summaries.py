"""What a job says of each signal as a whole: its distribution, its kinship with others, how it found what was planted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from worker.signals.ranks import rank

_BINS = 40
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def summarise(
    signals: Mapping[str, Float[Tensor, " n"]], planted: Bool[Tensor, " n"] | None
) -> dict[str, dict[str, Any]]:
    """Histogram, quantiles, Spearman correlations and, where glitches were planted, detection, by signal."""
    ranks = np.stack([rank(scores).numpy() for scores in signals.values()])
    constant = ranks.min(1) == ranks.max(1)
    spread = np.where(constant, 1.0, ranks.std(1))
    centred = (ranks - ranks.mean(1, keepdims=True)) / spread[:, None]
    related = centred @ centred.T / ranks.shape[1]
    names = list(signals)
    return {
        name: {
            "histogram": _histogram(scores),
            "quantiles": _quantiles(scores),
            # A signal that is the same for every sample is related to none.
            "correlations": {
                other: round(float(related[row, column]), 4)
                for column, other in enumerate(names)
                if other != name and not constant[row] and not constant[column]
            },
            "detection": None if planted is None or not planted.any() else detection(scores, planted),
        }
        for row, (name, scores) in enumerate(signals.items())
    }


def detection(scores: Float[Tensor, " n"], planted: Bool[Tensor, " n"]) -> dict[str, int | float]:
    """Precision, recall and F1 of the top k, k = number planted (hence equal), average precision and AUROC."""
    count = int(planted.sum())
    top = scores.argsort(descending=True, stable=True)[:count]
    hits = float(planted[top].double().mean())
    truth, values = planted.numpy(), scores.numpy()
    return {
        "planted": count,
        "precision": hits,
        "recall": hits,
        "f1": hits,
        "average_precision": float(average_precision_score(truth, values)),
        "auroc": float(roc_auc_score(truth, values)) if count < len(truth) else 1.0,
    }


def _histogram(scores: Float[Tensor, " n"]) -> dict[str, list[float]]:
    counts, edges = np.histogram(scores.double().numpy(), bins=_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _quantiles(scores: Float[Tensor, " n"]) -> dict[str, float]:
    values = np.quantile(scores.double().numpy(), _QUANTILES)
    return {str(share): float(value) for share, value in zip(_QUANTILES, values, strict=True)}
