"""Changes of a task's annotations since the pull, and the decisions that follow from them. Pure.

Only the present state counts: reading it often or once gives the same changes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.domain.dataset import AnnotationPolicy
from service.domain.review import DecisionKind, Review
from service.platforms.annotations import Annotation, winning_labels
from service.platforms.label_studio import Control, read_annotations

AnnotationVersion = tuple[int, str]  # id of an annotation, and when it was last updated
DecisionValue = tuple[DecisionKind, str | None]  # with its label, for relabel


@dataclass(frozen=True)
class ToolAnnotation:
    """One annotation as the tool has it now; `annotation` is None where it names no single class."""

    version: AnnotationVersion
    annotation: Annotation | None


@dataclass(frozen=True)
class PulledTask:
    """A task at the time of the pull.

    `labels` are the classes by annotation. `known` are annotations that are no change: those of the pull, and those that
    this service wrote. `requeued`: this service took annotations of the task away.
    """

    labels: Mapping[int, str | None]
    known: Collection[AnnotationVersion]
    requeued: bool


@dataclass(frozen=True)
class SampleChange:
    """State of a sample that has changed: its class, None for no single class, or `deleted`.

    `at` is the time of the change; None when the tool does not tell it, because something was deleted.
    """

    label: str | None = None
    deleted: bool = False
    at: datetime | None = None


def tool_annotations(task: Mapping[str, Any], control: Control) -> list[ToolAnnotation]:
    """All annotations of a task."""
    read = read_annotations(task, control)
    return [
        ToolAnnotation(
            (int(raw["id"]), str(raw.get("updated_at") or "")),
            found if isinstance(found, Annotation) else None,
        )
        for raw, found in zip(task.get("annotations") or (), read, strict=True)
    ]


def change_of_task(
    now: Sequence[ToolAnnotation] | None, task: PulledTask, policy: AnnotationPolicy
) -> SampleChange | None:
    """Change of a task that is one sample; `now` is None for a deleted task."""
    if now is None:
        return SampleChange(deleted=True)
    fresh = [one for one in now if one.version not in task.known]
    if policy == "ground_truth":
        fresh = [one for one in fresh if one.annotation is None or one.annotation.ground_truth]
    present = {one.version[0] for one in now}
    lost = not task.requeued and any(
        label is not None and number not in present for number, label in task.labels.items()
    )
    annotated = [one.annotation for one in now if one.annotation is not None]
    if not fresh and not (lost and annotated):
        return None  # an annotation was deleted and none replaces it: nothing is decided yet
    at = max((_time(one.version[1]) for one in fresh), default=None)
    if fresh and all(one.annotation is None for one in fresh):
        return SampleChange(at=at)
    labels = winning_labels(annotated, policy)
    return SampleChange(label=labels[0] if len(labels) == 1 else None, at=at)


def change_of_annotation(now: Sequence[ToolAnnotation] | None, number: int, task: PulledTask) -> SampleChange | None:
    """Change of a sample that is one annotation of a task; `now` is None for a deleted task."""
    if now is None:
        return SampleChange(deleted=True)
    same = next((one for one in now if one.version[0] == number), None)
    if same is not None:
        if same.version in task.known:
            return None
        return SampleChange(label=same.annotation.label if same.annotation else None, at=_time(same.version[1]))
    if not task.requeued:
        return SampleChange(deleted=True)
    fresh = [one for one in now if one.version not in task.known and one.version[0] not in task.labels]
    if not fresh:
        return None
    labels = {one.annotation.label if one.annotation else None for one in fresh}
    at = max(_time(one.version[1]) for one in fresh)
    return SampleChange(label=labels.pop() if len(labels) == 1 else None, at=at)


def latest_change(first: SampleChange | None, second: SampleChange | None) -> SampleChange | None:
    """The later of two changes of one sample; a deletion comes before all others."""
    if first is None or second is None:
        return first or second
    if first.deleted or second.deleted:
        return first if first.deleted else second
    earliest = datetime.min.replace(tzinfo=UTC)
    return second if (second.at or earliest) > (first.at or earliest) else first


def decision_of(change: SampleChange, given: str, classes: Collection[str]) -> DecisionValue:
    """The decision on a sample with the class `given`.

    A class that the dataset does not have is `remove`: the sample's label is wrong, and no other class is right.
    """
    if change.deleted:
        return "remove", None
    if change.label is None:
        return "unsure", None
    if change.label == given:
        return "keep", None
    return ("relabel", change.label) if change.label in classes else ("remove", None)


def standing_decision(
    decided: DecisionValue | None,
    at: datetime | None,
    recorded: Review | None,
    from_tool: Review | None,
    from_others: Review | None,
) -> DecisionValue | None:
    """The decision that holds for a sample: the tool's, or a later one from elsewhere; None when there never was one.

    `recorded` is the last review with what this job sees in the tool, `from_tool` the last one that any job recorded from
    it, `from_others` the last of all others. A decision without a time is as old as its first review, and newer than all
    reviews when it has none.
    """
    if decided is not None and (from_others is None or not _is_older(decided, at, from_tool, from_others)):
        return decided
    if from_others is not None:
        return from_others.decision, from_others.label
    return ("withdraw", None) if recorded is not None else None


def _is_older(decided: DecisionValue, at: datetime | None, from_tool: Review | None, from_others: Review) -> bool:
    if at is not None:
        return at <= from_others.created_at
    known = from_tool is not None and (from_tool.decision, from_tool.label) == decided
    return known and from_tool is not None and from_tool.created_at < from_others.created_at


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
