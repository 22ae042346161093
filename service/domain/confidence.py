"""Whether the confidence of suggestions is a probability or only an order: decided here alone, and kept in the result of a job.

What people read shows the number only where it is a probability.
"""

from collections.abc import Mapping
from typing import Any, Literal

# probability: of the flagged samples with confidence p about the share p has the suggested label (docs/measured.md). order: the higher,
# the surer, and the value means nothing.
Confidence = Literal["probability", "order"]

# Kinds of data on which the calibration was measured to hold: by the job alone, and by reviews that an audit drew.
_MEASURED = frozenset({"tabular", "embedding"})
_MEASURED_BY_REVIEWS = frozenset({"tabular"})


def confidence_of(modality: str, *, calibrated: bool, by_reviews: bool) -> Confidence:
    """What the confidence of a ranking is, by its kind of data and by what told how likely labels are wrong."""
    if not calibrated:
        return "order"
    return "probability" if modality in (_MEASURED_BY_REVIEWS if by_reviews else _MEASURED) else "order"


def told_confidence(result: Mapping[str, Any] | None) -> Confidence:
    """What the confidence of a completed job is. Rankings by earlier versions had no calibration."""
    found: Confidence = (result or {}).get("confidence", "order")
    return found


def shown_confidence(result: Mapping[str, Any] | None, value: float) -> float | None:
    """The number for people to read: None where it is only an order."""
    return value if told_confidence(result) == "probability" else None
