"""Summaries of the signals of a job: distribution, correlations, and detection of planted glitches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from worker.signals.ranks import rank

_BINS = 40
_ROUNDING = 1e-12  # of the largest score: closer scores count as equal
_NOTHING = 1e-290  # a smaller span has no 40 different edges
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def summarise(signals: Mapping[str, Float[Tensor, " n"]], planted: Sequence[str | None]) -> dict[str, dict[str, Any]]:
    """Histogram, quantiles, Spearman correlations and, where glitches were planted, detection, by signal.

    `planted` names the glitch of each sample, None for none. Detection of one kind leaves samples of other kinds out.
    """
    ranks = np.stack([rank(scores).numpy() for scores in signals.values()])
    constant = ranks.min(1) == ranks.max(1)
    spread = np.where(constant, 1.0, ranks.std(1))
    centred = (ranks - ranks.mean(1, keepdims=True)) / spread[:, None]
    related = (centred @ centred.T / ranks.shape[1]).round(4).tolist()
    names = list(signals)
    kinds = np.array([kind or "" for kind in planted], dtype=object)
    present = sorted(set(kinds.tolist()) - {""})
    return {
        name: {
            "histogram": _histogram(scores),
            "quantiles": _quantiles(scores),
            # A constant signal has no correlation.
            "correlations": {
                other: related[row][column]
                for column, other in enumerate(names)
                if other != name and not constant[row] and not constant[column]
            },
            "detection": detection(scores.numpy(), kinds != "") if present else None,
            "detection_by_kind": {
                kind: detection(scores.numpy()[part], kinds[part] == kind)
                for kind in present
                for part in ((kinds == kind) | (kinds == ""),)
            },
        }
        for row, (name, scores) in enumerate(signals.items())
    }


def ranking(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Signals by average precision, the best first: for all planted glitches and for each kind."""
    kinds = sorted({kind for summary in summaries.values() for kind in summary["detection_by_kind"]})
    if not kinds:
        return {}

    def precision(kind: str, name: str) -> float:
        found = summaries[name]["detection"] if kind == "all" else summaries[name]["detection_by_kind"][kind]
        return -float(found["average_precision"])

    return {kind: sorted(summaries, key=lambda name: precision(kind, name)) for kind in ("all", *kinds)}


def detection(scores: npt.NDArray[Any], planted: npt.NDArray[np.bool_]) -> dict[str, int | float]:
    """Precision, recall and F1 of the top k, k = number planted (hence equal), average precision and AUROC.

    All are in [0, 1]. `authors_f1` is that of the evaluation in arXiv:2506.11584, which flags one row more than were
    planted. Samples with the same score count together, as one threshold takes them; the top k breaks ties by order.
    """
    count, others = int(planted.sum()), int((~planted).sum())
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(planted[order])
    # The last sample of each score: the possible thresholds.
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found, flagged = hits[ends], ends + 1
    gained, missed = np.diff(found, prepend=0), np.diff(flagged - found, prepend=0)
    top = float(hits[count - 1]) / count
    return {
        "planted": count,
        "precision": top,
        "recall": top,
        "f1": top,
        "authors_f1": 2 * float(hits[min(count, len(hits) - 1)]) / (2 * count + 1),
        "average_precision": float((gained * found / flagged).sum() / count),
        "auroc": float((missed * (found - gained / 2)).sum() / (count * others)) if others else 1.0,
    }


def _histogram(scores: Float[Tensor, " n"]) -> dict[str, list[float]]:
    values = scores.double().numpy()
    low, high = float(values.min()), float(values.max())
    largest = max(abs(low), abs(high))
    # Scores that differ only by rounding count as constant: no bins fit between them.
    alike = high - low <= max(_ROUNDING * largest, _NOTHING)
    room = (largest * 1e-6 if largest > _NOTHING else 0.5) if alike else 0.0
    counts, edges = np.histogram(values, bins=_BINS, range=(low - room, high + room))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _quantiles(scores: Float[Tensor, " n"]) -> dict[str, float]:
    values = np.quantile(scores.double().numpy(), _QUANTILES)
    return {str(share): float(value) for share, value in zip(_QUANTILES, values, strict=True)}
