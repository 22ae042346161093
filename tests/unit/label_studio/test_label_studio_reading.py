"""Label configs and annotations as classes and samples; shapes as Label Studio 1.23.2 gives them."""

from typing import Any

import pytest

from service.domain.dataset import AnnotationPolicy
from service.domain.errors import Invalid
from service.platforms.label_studio import (
    Control,
    SkippedTask,
    TaskSample,
    choices_result,
    choose_control,
    parse_config,
    task_number,
    task_samples,
)
from tests.stand_in import TEXT_CONFIG, annotation, text_task


def control(config: str = TEXT_CONFIG, from_name: str | None = None) -> Control:
    return choose_control(parse_config(config), from_name)


def view(inner: str) -> str:
    return f'<View>{inner}<Choices name="label" toName="in"><Choice value="a"/></Choices></View>'


def read(task: dict[str, Any], policy: AnnotationPolicy = "latest") -> list[TaskSample | SkippedTask]:
    return list(task_samples(task, control(), policy))


def labels(task: dict[str, Any], policy: AnnotationPolicy) -> list[str]:
    return [one.label for one in read(task, policy) if isinstance(one, TaskSample)]


def test_classes_come_from_the_config_in_its_order_and_the_modality_from_the_input() -> None:
    found = control()
    assert (found.classes, found.from_name, found.to_name, found.field, found.modality) == (
        ("cat", "dog"),
        "label",
        "text",
        "text",
        "text",
    )


@pytest.mark.parametrize(
    ("tag", "modality"),
    [
        ('<Text name="in" value="$t"/>', "text"),
        ('<HyperText name="in" value="$t"/>', "text"),
        ('<Image name="in" value="$t"/>', "image"),
        ('<Image name="in" value="$t" valueType="url"/>', "image"),
        ('<Table name="in" value="$t"/>', "tabular"),
    ],
)
def test_the_modality_is_that_of_the_input_tag(tag: str, modality: str) -> None:
    assert control(view(tag)).modality == modality


@pytest.mark.parametrize(
    "tag",
    ['<Audio name="in" value="$t"/>', '<Text name="in" value="$t" valueType="url"/>', '<Video name="in" value="$t"/>'],
)
def test_an_input_that_no_model_takes_is_refused_by_name(tag: str) -> None:
    with pytest.raises(Invalid, match=r"project: its input is (audio|text by URL|video)"):
        control(view(tag))


def test_with_several_choices_the_client_names_one() -> None:
    config = """<View><Text name="text" value="$text"/>
      <Choices name="topic" toName="text"><Choice value="a"/></Choices>
      <Choices name="tone" toName="text"><Choice value="b"/></Choices></View>"""
    with pytest.raises(Invalid, match="2 Choices tags, name one of topic, tone"):
        control(config)
    with pytest.raises(Invalid, match="no Choices tag called 'mood'; it has topic, tone"):
        control(config, "mood")
    assert control(config, "tone").classes == ("b",)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "<View>",
        "<View/>",
        '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>',
        '<View><Choices name="label" toName="nothing"><Choice value="a"/></Choices></View>',
    ],
)
def test_a_config_without_classes_is_refused(config: str) -> None:
    with pytest.raises(Invalid):
        control(config)


def test_nested_choices_are_classes_and_aliases_are_read_as_their_class() -> None:
    found = control(
        view('<Text name="in" value="$text"/>').replace(
            '<Choice value="a"/>', '<Choice value="a" alias="alpha"><Choice value="b"/></Choice>'
        )
    )
    assert found.classes == ("a", "b")
    assert (found.class_of("alpha"), found.class_of("a"), found.choice_of("a"), found.choice_of("b")) == (
        "a",
        "a",
        "alpha",
        "b",
    )
    assert choices_result(found, "a")[0]["value"] == {"choices": ["alpha"]}


def test_what_is_written_is_read_as_the_same_class() -> None:
    written = {"id": 1, "result": choices_result(control(), "dog")}
    (one,) = read({"id": 4, "data": {"text": "x"}, "annotations": [written]})
    assert one == TaskSample("4", 4, "dog", "x", disagrees=False)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ([], "no annotation"),
        ([annotation(1)], "the annotation is empty"),
        ([annotation(1, "cat", was_cancelled=True)], "the annotation was cancelled"),
        ([annotation(1, "cat", "dog")], "the annotation names 2 classes"),
        ([annotation(1, "eel")], "the annotation names the class 'eel', which the label config lacks"),
    ],
)
def test_a_task_without_one_class_is_left_with_its_reason(annotations: list[dict[str, Any]], reason: str) -> None:
    assert read({**text_task(3), "annotations": annotations}) == [SkippedTask(3, reason)]


@pytest.mark.parametrize("data", [{}, {"text": ""}, {"text": None}, {"other": "x"}, None])
def test_a_task_without_its_input_is_left(data: Any) -> None:
    assert read(text_task(3, "cat", data=data)) == [SkippedTask(3, "its data has no text")]


def test_each_policy_chooses_its_annotation() -> None:
    said = [
        annotation(2, "dog", updated_at="2026-03-01T00:00:00Z"),
        annotation(3, "cat", updated_at="2026-02-01T00:00:00Z", ground_truth=True),
        annotation(4, "cat", updated_at="2026-01-01T00:00:00Z"),
    ]
    task = {**text_task(3), "annotations": said}
    assert labels(task, "latest") == ["dog"]
    assert labels(task, "majority") == ["cat"]
    assert labels(task, "ground_truth") == ["cat"]
    assert labels(task, "all") == ["dog", "cat", "cat"]
    assert all(isinstance(one, TaskSample) and one.disagrees for one in read(task, "all"))


def test_conflicts_are_left_and_named() -> None:
    task = text_task(3, "cat", "dog")
    assert read(task, "majority") == [SkippedTask(3, "its annotators are in conflict: cat, dog")]
    assert read(task, "ground_truth") == [SkippedTask(3, "no annotation is ground truth")]


def test_with_all_annotations_each_is_a_sample_of_its_own_and_knows_its_task() -> None:
    found = [one for one in read(text_task(3, "cat", "dog"), "all") if isinstance(one, TaskSample)]
    assert [one.name for one in found] == ["3:30", "3:31"]
    assert {task_number(one.name) for one in found} == {3}
    assert (task_number("3"), task_number("row-3"), task_number("")) == (3, None, None)


def tags(*inner: str) -> str:
    return f'<View><Text name="in" value="$t"/>{"".join(inner)}</View>'


RATING = '<Rating name="stars" toName="in" maxRating="4"/>'
TAXONOMY = (
    '<Taxonomy name="topic" toName="in"><Choice value="Land"><Choice value="Hill"/></Choice>'
    '<Choice value="Water" alias="w"><Choice value="Lake"/></Choice></Taxonomy>'
)
CHOICES = '<Choices name="tone" toName="in"><Choice value="calm"/><Choice value="wild"/></Choices>'


def test_a_rating_or_the_first_level_of_a_taxonomy_is_the_class_where_there_are_no_choices() -> None:
    stars, topic = control(tags(RATING)), control(tags(TAXONOMY))
    assert (stars.kind, stars.classes, stars.modality) == ("rating", ("1", "2", "3", "4"), "text")
    assert (topic.kind, topic.classes) == ("taxonomy", ("Land", "Water"))
    assert control(tags('<Rating name="stars" toName="in"/>')).classes == ("1", "2", "3", "4", "5")
    assert control(tags(RATING, CHOICES, TAXONOMY)).from_name == "tone"
    assert control(tags(RATING, CHOICES, TAXONOMY), "topic").kind == "taxonomy"
    with pytest.raises(Invalid, match="2 Rating and Taxonomy tags, name one of stars, topic"):
        control(tags(RATING, TAXONOMY))


@pytest.mark.parametrize(
    ("config", "label"), [(RATING, "3"), (TAXONOMY, "Land"), (TAXONOMY, "Water"), (CHOICES, "wild")]
)
def test_a_suggestion_in_the_form_of_its_tag_is_read_back_as_its_class(config: str, label: str) -> None:
    known = control(tags(config))
    result = choices_result(known, label)
    task = {"id": 7, "data": {"t": "words"}, "annotations": [{"id": 1, "result": result}]}
    assert [one.label for one in task_samples(task, known, "latest") if isinstance(one, TaskSample)] == [label]
    assert result[0]["type"] == known.kind
    assert result[0]["value"] == {known.kind: {"3": 3, "Land": [["Land"]], "Water": [["w"]], "wild": ["wild"]}[label]}


def test_classes_of_regions_are_none_of_the_task() -> None:
    known = control(tags(CHOICES))
    region = {
        "id": "r",
        "from_name": "span",
        "to_name": "in",
        "type": "labels",
        "value": {"start": 0, "end": 2, "labels": ["X"]},
    }
    of_region = {**choices_result(known, "calm")[0], "id": "r"}
    whole = {**choices_result(known, "wild")[0], "id": "w"}
    task = {"id": 7, "data": {"t": "words"}, "annotations": [{"id": 1, "result": [region, of_region, whole]}]}
    assert [one.label for one in task_samples(task, known, "latest") if isinstance(one, TaskSample)] == ["wild"]
    task["annotations"] = [{"id": 1, "result": [region, of_region]}]
    assert [one.reason for one in task_samples(task, known, "latest") if isinstance(one, SkippedTask)] == [
        "the annotation names classes of regions only, not of the whole input"
    ]
