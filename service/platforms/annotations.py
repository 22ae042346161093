"""Annotations of one sample by several annotators, and the class that they give it. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.dataset import AnnotationPolicy


@dataclass(frozen=True)
class Annotation:
    """One annotation that names one class; `number` is its id in the tool, `updated_at` an ISO 8601 time or empty."""

    number: int
    label: str
    updated_at: str
    ground_truth: bool


def winning_labels(annotations: Sequence[Annotation], policy: AnnotationPolicy) -> list[str]:
    """The class by a policy; several classes for annotations in conflict, none where no annotation counts."""
    match policy:
        case "latest" | "all":
            return [max(annotations, key=lambda one: (one.updated_at, one.number)).label]
        case "majority":
            counted = Counter(one.label for one in annotations)
            most = max(counted.values())
            return [label for label, count in counted.items() if count == most]
        case "ground_truth":
            return list(dict.fromkeys(one.label for one in annotations if one.ground_truth))


def no_single_label(labels: Sequence[str]) -> str:
    """Why `winning_labels` gave not exactly one class, as text."""
    return f"its annotators are in conflict: {', '.join(labels)}" if labels else "no annotation is ground truth"
