"""Annotations of one sample by several annotators, and the class that they give it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.dataset import AnnotationPolicy


@dataclass(frozen=True)
class Annotation:
    """One annotation that names one class; `number` is its id in the tool, `updated_at` an ISO 8601 time or empty.

    `annotator` is the name or id of the person who gave it, empty where the tool does not say.
    """

    number: int
    label: str
    updated_at: str
    ground_truth: bool
    annotator: str = ""


@dataclass(frozen=True)
class Vote:
    """The class that one person gave a sample."""

    annotator: str
    label: str


def votes_of(annotations: Sequence[Annotation]) -> tuple[Vote, ...]:
    """What each known annotator said last, each once."""
    in_order = sorted(annotations, key=lambda one: (one.updated_at, one.number))
    return tuple(Vote(name, label) for name, label in {one.annotator: one.label for one in in_order}.items() if name)


def person(value: Any) -> str:
    """Name or id of an annotator, as tools write them: a text, a number, or an object; empty where nobody is named."""
    if isinstance(value, Mapping):
        known = (value.get(key) for key in ("email", "username", "name", "id"))
        value = next((one for one in known if one not in (None, "")), "")
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


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
