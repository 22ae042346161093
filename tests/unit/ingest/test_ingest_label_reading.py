"""Labels of arrays that are numbers: names of classes, places among them, or neither."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from service.domain.errors import Invalid
from service.ingest.readers.vectors import stripped
from tests.unit.ingest.uploads import Outcome, Take, npz_of

N = 24


def predictions(labels: Any, columns: int, **more: Any) -> bytes:
    probs = np.random.default_rng(3).dirichlet(np.ones(columns), len(labels))
    return npz_of(labels=np.asarray(labels), pred_probs=probs, **more)


def detail(outcome: Outcome, code: str) -> str:
    return next((one.detail for one in outcome.found.warnings if one.code == code), "")


def test_numbers_that_are_all_among_the_classes_are_their_names(take: Take) -> None:
    grades = np.arange(N) % 3 + 1  # of grades 1 to 4, of which nobody has the last
    outcome = take(predictions(grades, 4, classes=np.arange(1, 5)), "grades.npz")
    assert outcome.labels == [str(grade) for grade in grades]
    assert outcome.found.class_counts == {"1": 8, "2": 8, "3": 8, "4": 0}
    assert "1 is the class '1'. If they are places (0 is the first), that label is '2'" in detail(
        outcome, "labels_are_names"
    )


def test_numbers_that_cannot_be_names_are_places(take: Take) -> None:
    outcome = take(predictions(np.arange(N) % 4, 4, classes=np.arange(1, 5)), "grades.npz")
    assert outcome.labels == [str(place % 4 + 1) for place in range(N)]
    assert "since 0 is no name of a class: 1 is '2', and not the class called 1" in detail(outcome, "labels_are_places")


def test_classes_in_another_order_are_names(take: Take) -> None:
    order = np.array([2, 0, 1])
    outcome = take(predictions(np.arange(N) % 3, 3, classes=order), "order.npz")
    assert outcome.labels == [str(label % 3) for label in range(N)]
    assert outcome.found.classes == ["2", "0", "1"]
    assert "labels_are_names" in outcome.codes


@pytest.mark.parametrize(
    "classes", [np.arange(4), np.array(["oak", "ash", "elm", "fir"]), np.array([10, 20, 30, 40]), None]
)
def test_nothing_is_said_where_both_readings_are_one(take: Take, classes: Any) -> None:
    given_ = {} if classes is None else {"classes": classes}
    outcome = take(predictions(np.arange(N) % 4, 4, **given_), "plain.npz")
    names = [str(place) for place in (range(4) if classes is None else classes)]
    assert outcome.labels == [names[row % 4] for row in range(N)]
    assert not [code for code in outcome.codes if code.startswith("labels_")]


def test_both_parts_are_read_in_one_way(take: Take) -> None:
    probs = np.random.default_rng(1).dirichlet(np.ones(3), 6)
    more = {"reference_labels": np.arange(6) % 3, "reference_pred_probs": probs, "classes": np.arange(1, 4)}
    outcome = take(predictions(np.arange(N) % 2 + 1, 3, **more), "parts.npz")
    assert outcome.labels == [str(row % 2 + 2) for row in range(N)] + [str(row % 3 + 1) for row in range(6)]


def test_numbers_that_count_from_1_without_classes_are_refused_or_warned_of(take: Take) -> None:
    with pytest.raises(
        Invalid, match="they seem to count from 1: subtract 1, or add the array classes with the numbers 1"
    ):
        take(predictions(np.arange(N) % 4 + 1, 4), "grades.npz")
    outcome = take(predictions(np.arange(N) % 3 + 1, 4), "grades.npz")
    assert "If labels count from 1, all are shifted by one" in detail(outcome, "labels_may_count_from_1")
    assert "labels_may_count_from_1" not in take(predictions(np.arange(N) % 3, 4), "grades.npz").codes


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.bool_, np.uint8, np.int16, ">i4"])
def test_whole_numbers_of_any_type_are_labels(take: Take, kind: Any) -> None:
    outcome = take(predictions((np.arange(N) % 2).astype(kind), 2), "typed.npz")
    assert outcome.labels == [str(row % 2) for row in range(N)]
    named = take(predictions((np.arange(N) % 2).astype(kind), 2, classes=np.array(["no", "yes"])), "typed.npz")
    assert named.labels == [["no", "yes"][row % 2] for row in range(N)]


@pytest.mark.parametrize("value", [0.7, np.nan, np.inf, -0.5])
@pytest.mark.parametrize("name", ["labels", "reference_labels"])
def test_labels_that_are_not_whole_are_refused_by_row_and_never_cut(take: Take, value: float, name: str) -> None:
    labels = {"labels": (np.arange(N) % 2).astype(float), "reference_labels": (np.arange(N) % 2).astype(float)}
    labels[name][17] = value
    probs = np.random.default_rng(1).dirichlet(np.ones(2), N)
    for arrays in ({}, {"classes": np.array(["no", "yes"])}):
        content = npz_of(**labels, pred_probs=probs, reference_pred_probs=probs, **arrays)
        with pytest.raises(Invalid, match=f"{name}, row 17: {value:g} is no whole number"):
            take(content, "soft.npz")
    embedded = npz_of(**labels, features=probs, reference_features=probs)
    with pytest.raises(Invalid, match=f"{name}, row 17: {value:g} is no whole number"):
        take(embedded, "soft.npz")


def recording(given: npt.NDArray[Any], **metadata: str) -> bytes:
    draw = np.random.default_rng(0)
    arrays = {
        "labels": given,
        "learning_rates": np.array([0.1]),
        "logits_1": draw.normal(size=(N, 3)).astype(np.float32),
        "activations_1": draw.normal(size=(N, 4)).astype(np.float32),
    }
    return save(arrays, metadata=metadata)


def test_a_recording_may_say_that_its_labels_are_columns_whatever_classes_are_called(take: Take) -> None:
    labels, classes = np.arange(N) % 2 + 1, json.dumps(["1", "2", "3"])
    unsaid = take(recording(labels, classes=classes), "run.safetensors")
    assert unsaid.labels == [str(label) for label in labels]
    assert "labels_are_names" in unsaid.codes
    said = take(recording(labels, classes=classes, labels="columns"), "run.safetensors")
    assert said.labels == [str(label + 1) for label in labels]
    assert "labels_are_names" not in said.codes


@pytest.mark.parametrize(("value", "expected"), [("false", False), ("true", True), ("False", False), (None, True)])
def test_a_recording_says_whether_its_last_layer_has_a_bias(take: Take, value: str | None, expected: bool) -> None:
    said = {} if value is None else {"bias": value}
    for content in (
        recording(np.arange(N) % 3, **said),
        save(
            {name: np.array(array) for name, array in ({} if value is None else {"bias": [expected]}).items()}
            | {
                "labels": np.arange(N) % 3,
                "learning_rates": np.array([0.1]),
                "logits_1": np.ones((N, 3), np.float32),
                "activations_1": np.ones((N, 4), np.float32),
            }
        ),
    ):
        found = take(content, "run.safetensors").found
        assert found.recording is not None
        assert found.recording.bias is expected
        assert "ignored_arrays" not in [one.code for one in found.warnings]


def test_a_flag_of_the_bias_that_is_none_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="the metadata bias is 'maybe'; true or false is expected"):
        take(recording(np.arange(N) % 3, bias="maybe"), "run.safetensors")


NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
    | st.sampled_from(["None", "NA", "na", "N/A", "null", "nan", "NaT", "?", "0", "1", "1.0", "01", "-", "\\N"]),
    min_size=2,
    max_size=6,
    unique=True,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=NAMES)
def test_any_set_of_class_names_comes_back_as_the_same_set_or_is_refused_by_name(take: Take, names: list[str]) -> None:
    places = np.arange(N) % len(names)
    seen = list(stripped(names))
    for labels in (places, np.array(names)[places]):
        content = predictions(labels, len(names), classes=np.array(names))
        if len(set(seen) - {""}) < len(names):
            with pytest.raises(Invalid, match="classes must be names that differ"):
                take(content, "names.npz")
            continue
        outcome = take(content, "names.npz")
        assert outcome.found.classes == seen
        if labels is places and "labels_are_names" in outcome.codes:
            continue  # 0 and 1 may be called 1 and 0
        assert outcome.labels == [seen[place] for place in places]
