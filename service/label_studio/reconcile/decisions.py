"""What people say of the tasks of a project, compared with what was said when they were pulled. Pure.

Only the present truth counts: whether it was looked at often or once, the same truth gives the same words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.domain.dataset import AnnotationPolicy
from service.domain.review import DecisionKind, Review
from service.platforms.annotations import Annotation, winning_labels
from service.platforms.label_studio import Control, read_annotations

Stamp = tuple[int, str]  # an annotation's number, and when it was last changed
Verdict = tuple[DecisionKind, str | None]


@dataclass(frozen=True)
class Said:
    """One annotation of a task; `label` is None where it names no single class."""

    stamp: Stamp
    label: Annotation | None


@dataclass(frozen=True)
class Task:
    """A task as it was pulled. `known` are annotations that say nothing new; `ours`: we took some of them away."""

    before: Mapping[int, str | None]
    known: Collection[Stamp]
    ours: bool


@dataclass(frozen=True)
class Word:
    """What people say of a sample now: a class, or that it has none (None), or that it is gone.

    `at` is when; None where the tool does not tell, because something was deleted.
    """

    label: str | None = None
    gone: bool = False
    at: datetime | None = None


def said(task: Mapping[str, Any], control: Control) -> list[Said]:
    """The annotations of a task, without what nobody asks for here."""
    read = read_annotations(task, control)
    return [
        Said(
            (int(one["id"]), str(one.get("updated_at") or "")),
            what if isinstance(what, Annotation) else None,
        )
        for one, what in zip(task.get("annotations") or (), read, strict=True)
    ]


def of_task(now: Sequence[Said] | None, task: Task, policy: AnnotationPolicy) -> Word | None:
    """What is new of a task that is one sample; `now` is None for a task that is gone."""
    if now is None:
        return Word(gone=True)
    fresh = [one for one in now if one.stamp not in task.known]
    if policy == "ground_truth":
        fresh = [one for one in fresh if one.label is None or one.label.ground_truth]
    there = {one.stamp[0] for one in now}
    lost = not task.ours and any(label is not None and one not in there for one, label in task.before.items())
    labelled = [one.label for one in now if one.label is not None]
    if not fresh and not (lost and labelled):
        return None  # a label that was taken away, and none put in its place: nothing is decided yet
    at = max((_moment(one.stamp[1]) for one in fresh), default=None)
    if fresh and all(one.label is None for one in fresh):
        return Word(at=at)
    names = winning_labels(labelled, policy)
    return Word(label=names[0] if len(names) == 1 else None, at=at)


def of_annotation(now: Sequence[Said] | None, number: int, task: Task) -> Word | None:
    """What is new of a sample that is one annotation of a task."""
    if now is None:
        return Word(gone=True)
    mine = next((one for one in now if one.stamp[0] == number), None)
    if mine is not None:
        if mine.stamp in task.known:
            return None
        return Word(label=mine.label.label if mine.label else None, at=_moment(mine.stamp[1]))
    if not task.ours:
        return Word(gone=True)
    fresh = [one for one in now if one.stamp not in task.known and one.stamp[0] not in task.before]
    if not fresh:
        return None
    names = {one.label.label if one.label else None for one in fresh}
    at = max(_moment(one.stamp[1]) for one in fresh)
    return Word(label=names.pop() if len(names) == 1 else None, at=at)


def later(first: Word | None, second: Word | None) -> Word | None:
    """Which of two words about one sample holds: that it is gone, or else what was said last."""
    if first is None or second is None:
        return first or second
    if first.gone or second.gone:
        return first if first.gone else second
    beginning = datetime.min.replace(tzinfo=UTC)
    return second if (second.at or beginning) > (first.at or beginning) else first


def verdict(word: Word, given: str, classes: Collection[str]) -> Verdict:
    """What a word decides of a sample that is called `given`.

    A class that the dataset lacks takes it out: there, its label is wrong and no other is right.
    """
    if word.gone:
        return "remove", None
    if word.label is None:
        return "unsure", None
    if word.label == given:
        return "keep", None
    return ("relabel", word.label) if word.label in classes else ("remove", None)


def holds(
    decided: Verdict | None, at: datetime | None, mine: Review | None, told: Review | None, other: Review | None
) -> Verdict | None:
    """What is to hold of a sample: the tool's word, or that of others where it is later; None: nothing ever did.

    `mine` is what was brought last of what is looked at here, `told` the last that anybody brought from the tool. A
    word without a time is as old as its first report, and never older than one that nobody reported.
    """
    if decided is not None and (other is None or not _is_older(decided, at, told, other)):
        return decided
    if other is not None:
        return other.decision, other.label
    return ("withdraw", None) if mine is not None else None


def _is_older(decided: Verdict, at: datetime | None, told: Review | None, other: Review) -> bool:
    if at is not None:
        return at <= other.created_at
    known = told is not None and (told.decision, told.label) == decided
    return known and told is not None and told.created_at < other.created_at


def _moment(stamp: str) -> datetime:
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
