"""Changes of tasks, from their present state alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.dataset import AnnotationPolicy
from service.domain.review import Review
from service.label_studio.reconcile.changes import (
    DecisionValue,
    PulledTask,
    SampleChange,
    ToolAnnotation,
    change_of_annotation,
    change_of_task,
    decision_of,
    latest_change,
    standing_decision,
    tool_annotations,
)
from service.platforms.label_studio import choose_control, parse_config
from tests.stand_in import TEXT_CONFIG, annotation

CONTROL = choose_control(parse_config(TEXT_CONFIG), None)
CLASSES = ["cat", "dog"]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def heard(number: int, minutes: int, *labels: str, **more: object) -> ToolAnnotation:
    one = annotation(number, *labels, updated_at=at(minutes).isoformat(), **more)
    return tool_annotations({"annotations": [one]}, CONTROL)[0]


def pulled(*before: ToolAnnotation, requeued: bool = False) -> PulledTask:
    labels = {one.version[0]: one.annotation.label if one.annotation else None for one in before}
    return PulledTask(labels, {one.version for one in before}, requeued)


CAT = heard(1, 0, "cat")


def test_what_was_there_at_the_pull_is_no_news() -> None:
    assert change_of_task([CAT], pulled(CAT), "latest") is None
    assert change_of_task([], pulled(), "latest") is None


@pytest.mark.parametrize(
    ("now", "policy", "label"),
    [
        ([heard(1, 5, "dog")], "latest", "dog"),
        ([heard(1, 5, "cat")], "latest", "cat"),
        ([CAT, heard(2, 5, "dog")], "latest", "dog"),
        ([CAT, heard(2, 5, "dog")], "majority", None),
        ([CAT, heard(2, 5, "dog"), heard(3, 5, "dog")], "majority", "dog"),
        ([CAT, heard(2, 5, "dog", ground_truth=True)], "ground_truth", "dog"),
        ([heard(1, 5)], "latest", None),
        ([CAT, heard(2, 5, "dog", was_cancelled=True)], "latest", None),
        ([heard(2, 5, "dog")], "latest", "dog"),
    ],
)
def test_a_new_or_changed_annotation_is_a_word(
    now: list[ToolAnnotation], policy: AnnotationPolicy, label: str | None
) -> None:
    assert change_of_task(now, pulled(CAT), policy) == SampleChange(label=label, at=at(5))


def test_where_ground_truth_counts_other_annotations_say_nothing() -> None:
    assert change_of_task([CAT, heard(2, 5, "dog")], pulled(CAT), "ground_truth") is None


def test_an_annotation_that_was_deleted_leaves_the_word_to_the_others_and_none_decides_nothing() -> None:
    dog = heard(2, 1, "dog")
    assert change_of_task([CAT], pulled(CAT, dog), "latest") == SampleChange(label="cat")
    assert change_of_task([], pulled(CAT), "latest") is None
    assert change_of_task(None, pulled(CAT), "latest") == SampleChange(deleted=True)


def test_what_we_sent_back_into_the_queue_is_no_word_of_anybody() -> None:
    dog = heard(2, 1, "dog")
    assert change_of_task([CAT], pulled(CAT, dog, requeued=True), "latest") is None
    assert change_of_task([heard(3, 9, "dog")], pulled(CAT, requeued=True), "latest") == SampleChange(
        label="dog", at=at(9)
    )
    assert change_of_annotation([], 1, pulled(CAT, requeued=True)) is None
    assert change_of_annotation([heard(3, 9, "dog")], 1, pulled(CAT, requeued=True)) == SampleChange(
        label="dog", at=at(9)
    )


def test_where_each_annotation_is_a_sample_its_own_fate_counts() -> None:
    dog = heard(2, 1, "dog")
    task = pulled(CAT, dog)
    assert change_of_annotation([CAT, heard(2, 5, "cat")], 1, task) is None
    assert change_of_annotation([CAT, heard(2, 5, "cat")], 2, task) == SampleChange(label="cat", at=at(5))
    assert change_of_annotation([CAT], 2, task) == SampleChange(deleted=True)
    assert change_of_annotation(None, 2, task) == SampleChange(deleted=True)


def test_of_two_projects_the_later_word_counts_and_that_a_task_is_gone_before_all() -> None:
    early, late, deleted = SampleChange("cat", at=at(1)), SampleChange("dog", at=at(2)), SampleChange(deleted=True)
    assert latest_change(early, late) == latest_change(late, early) == late
    assert latest_change(deleted, late) == latest_change(late, deleted) == deleted
    assert (
        latest_change(None, early) == latest_change(early, None) == latest_change(SampleChange("dog"), early) == early
    )


def test_words_decide_samples() -> None:
    decided = [
        decision_of(change, "cat", CLASSES)
        for change in (
            SampleChange("cat"),
            SampleChange("dog"),
            SampleChange("eel"),
            SampleChange(),
            SampleChange(deleted=True),
        )
    ]
    assert decided == [("keep", None), ("relabel", "dog"), ("remove", None), ("unsure", None), ("remove", None)]


# ---- looked at often, once, or in between others' reviews: the same


@dataclass
class Scene:
    """One task in the tool, and the reviews of its sample."""

    task: list[ToolAnnotation] | None = field(default_factory=lambda: [CAT])
    reviews: list[Review] = field(default_factory=list)
    number: int = 1

    def do(self, what: str, minutes: int) -> None:
        if what in ("keep", "unsure"):
            # hypothesis draws plain texts, these two among them.
            self.write((what, None), "api", minutes)  # type: ignore[arg-type]
        elif self.task is None:
            return
        elif what == "delete":
            self.task = self.task[:-1]
        elif what == "back":
            self.task = [CAT]
        elif what.startswith("change") and self.task:
            self.task = [*self.task[:-1], heard(self.task[-1].version[0], minutes, what[7:])]
        elif what.startswith("add"):
            self.number += 1
            self.task = [*self.task, heard(self.number, minutes, *([what[4:]] if what[4:] else []))]

    def write(self, decided: DecisionValue, source: str, minutes: int) -> None:
        told = {"decision": decided[0], "label": decided[1], "source": source, "created_at": at(minutes)}
        known = {"job": "job_1", "seq": len(self.reviews) + 1, "sample_id": "1", "given_label": "cat"}
        self.reviews.append(Review.model_validate({**known, **told}))

    def look(self, minutes: int) -> None:
        change = change_of_task(self.task, pulled(CAT), "latest")
        mine, other = (
            next((one for one in reversed(self.reviews) if (one.source == "label_studio") == own), None)
            for own in (True, False)
        )
        decided = None if change is None else decision_of(change, "cat", CLASSES)
        found = standing_decision(decided, change.at if change else None, mine, mine, other)
        if found is not None and found != self.standing(withdrawn=True):
            self.write(found, "label_studio", minutes)

    def standing(self, *, withdrawn: bool = False) -> DecisionValue | None:
        if not self.reviews or (self.reviews[-1].decision == "withdraw" and not withdrawn):
            return None
        return self.reviews[-1].decision, self.reviews[-1].label


DEEDS = ["change dog", "change cat", "add dog", "add cat", "add ", "back", "keep", "unsure"]


@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.booleans()), max_size=8))
def test_however_often_it_was_looked_the_same_holds_in_the_end(history: list[tuple[str, bool]]) -> None:
    watched, unwatched = Scene(), Scene()
    for minute, (what, looked) in enumerate(history, 1):
        for scene in (watched, unwatched):
            scene.do(what, minute)
        if looked:
            watched.look(minute)
            watched.look(minute)
    for scene in (watched, unwatched):
        scene.look(len(history) + 1)
    assert watched.standing() == unwatched.standing()


@given(st.lists(st.tuples(st.sampled_from([*DEEDS[:6], "delete"]), st.booleans()), max_size=8))
def test_deletions_are_told_late_or_at_once_alike(history: list[tuple[str, bool]]) -> None:
    watched, unwatched = Scene(), Scene()
    for minute, (what, looked) in enumerate(history, 1):
        for scene in (watched, unwatched):
            scene.do(what, minute)
        if looked:
            watched.look(minute)
    for scene in (watched, unwatched):
        scene.look(len(history) + 1)
    assert watched.standing() == unwatched.standing()


def test_a_later_review_of_somebody_else_holds_until_the_tool_says_something_new() -> None:
    scene = Scene()
    scene.do("change dog", 1)
    scene.look(2)
    scene.do("keep", 3)
    scene.look(4)
    assert scene.standing() == ("keep", None)
    scene.do("change dog", 5)
    scene.look(6)
    assert scene.standing() == ("relabel", "dog")
    scene.do("back", 7)
    scene.look(8)
    assert scene.standing() == ("keep", None)
