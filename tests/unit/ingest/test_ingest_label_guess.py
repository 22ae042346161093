"""Tables whose label anyone would know are read without a spec; where nobody would, the question names what may be it."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.test_ingest_label_columns import FLOATS, columns_of, said
from tests.unit.ingest.uploads import Take, json_lines

NOTES = [f"note {i} on the {['gate', 'lamp', 'path', 'roof'][i % 4]}, as the warden wrote it" for i in range(59)]
BITS, OTHER_BITS = "01101", "0010111"


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"sex": "01", "w": FLOATS, "stage": "0123", "relapse.within.a.year": BITS}, "relapse.within.a.year"),
        ({"town": ["Bonn", "Kiel"], "w": FLOATS, "Returned": ["True", "False", "True"]}, "Returned"),
        ({"性别": ["男", "女", "女"], "w": FLOATS, "是否续约": ["是", "否"]}, "是否续约"),
        ({"hair": "01", "w": FLOATS, "legs": "024", "plant_type": "1234567"}, "plant_type"),
        ({"status": ["up", "down", "up"], "w": FLOATS, "town": ["Bonn", "Kiel"], "beds": "123"}, "status"),
        ({"town": ["Bonn", "Kiel", "Ulm"], "hotel_sentiment": ["bad", "good"], "w": FLOATS}, "hotel_sentiment"),
        ({"town": ["Bonn", "Kiel", "Ulm"], "species_id": "1234", "w": FLOATS}, "species_id"),
    ],
)
def test_a_label_that_its_name_or_its_place_tells_is_taken(take: Take, columns: dict[str, Any], label: str) -> None:
    assert take(columns_of(columns)).found.inferred.label == label


def test_a_name_that_is_as_often_a_feature_does_not_count_in_the_middle(take: Take) -> None:
    columns: dict[str, Any] = {"age": FLOATS, "default": ["yes", "no", "no"], "town": ["Bonn", "Kiel"]}
    for last in ("y", "subscribed"):
        outcome = take(columns_of(columns | {last: ["no", "yes"]}))
        assert outcome.found.inferred.label == last
    assert "default" in said(outcome, "label_guessed")


def test_a_likely_name_in_the_middle_is_doubted_where_the_last_column_says_yes_or_no(take: Take) -> None:
    outcome = take(columns_of({"w": FLOATS, "category": ["toys", "tools"], "beds": "123", "sold": BITS}))
    assert outcome.found.inferred.label_candidates == ["category", "sold"]
    assert "sold" in said(outcome, "label_guessed")


QUOTED = [f'"{note}"' for note in NOTES]
POINTS = ["1.0", "2.0", "3.0"]
MANY = [str(i * 7 % 211) for i in range(211)]


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"w": FLOATS, "is_fraud": ["0.0", "1.0"], "channel": ["web", "pos", "app"]}, "is_fraud"),
        ({"stars": POINTS, "text": QUOTED}, "stars"),
        ({"review": QUOTED, "rating": POINTS}, "rating"),
        ({"w": FLOATS, "Survived": ["0.0", "1.0", ""], "deck": ["a", "b", "c", "d"]}, "Survived"),
    ],
)
def test_a_label_of_whole_numbers_is_found_though_they_are_written_with_a_point(
    take: Take, columns: dict[str, Any], label: str
) -> None:
    assert take(columns_of(columns)).found.inferred.label == label
    width = max(map(len, columns.values()))
    rows = [{name: values[i % len(values)] for name, values in columns.items()} for i in range(width)]
    typed = [{name: float(text) if text in (*POINTS, "0.0") else text for name, text in row.items()} for row in rows]
    assert take(json_lines(typed), "a.jsonl").found.inferred.label == label


@pytest.mark.parametrize("readings", [["36.6", "37.0", "38.1"], ["$1.50", "$2.00"]])
def test_a_measurement_with_few_decimals_is_no_label(take: Take, readings: list[str]) -> None:
    with pytest.raises(Invalid, match="none looks like one"):
        take(columns_of({"w": FLOATS, "reading": readings}))


@pytest.mark.parametrize(
    ("columns", "taken", "other"),
    [
        ({"y": MANY, "w": FLOATS, "shape": ["round", "square"]}, "shape", "y"),
        ({"stars": ["0.5", "1.0", "1.5"], "note": QUOTED, "useful": "0123"}, "useful", "stars"),
        ({"stars": POINTS, "note": QUOTED, "useful": "0123"}, "stars", "useful"),
        ({"w": FLOATS, "Label": ["oak", "elm", "ash"], "label": BITS}, "Label", "label"),
        ({"w": FLOATS, "Class": ["oak", "elm", "ash"], "class": BITS}, "Class", "class"),
    ],
)
def test_a_label_beside_a_column_that_is_called_like_one_or_stands_like_one_is_doubted(
    take: Take, columns: dict[str, Any], taken: str, other: str
) -> None:
    outcome = take(columns_of(columns))
    assert outcome.found.inferred.label_candidates == [taken, other]
    assert f"{other}." in said(outcome, "label_guessed")


@pytest.mark.parametrize("first", ["v1", "Class Index"])
def test_the_only_classes_beside_texts_are_the_label_wherever_they_stand(take: Take, first: str) -> None:
    outcome = take(columns_of({first: ["1", "2", "3"], "v2": [f'"{note}"' for note in NOTES]}))
    assert (outcome.found.inferred.label, outcome.found.modality) == (first, "text")


@pytest.mark.parametrize(
    "columns",
    [
        {"colour": ["red", "blue"], "w": FLOATS, "v": FLOATS[::-1]},
        {"w": FLOATS, "smokes": BITS, "drinks": OTHER_BITS},
        {"id": [str(i) for i in range(60)], "note": NOTES, "toxic": BITS, "rude": OTHER_BITS, "vain": "001"},
    ],
)
def test_a_label_that_nothing_tells_is_asked_for(take: Take, columns: dict[str, Sequence[str]]) -> None:
    quoted = {name: [f'"{value}"' for value in values] for name, values in columns.items()}
    with pytest.raises(Invalid, match="which column is the label"):
        take(columns_of(quoted))


def test_a_table_without_a_header_is_recognised_in_the_question(take: Take) -> None:
    body = columns_of({"2": "123", "0.37": FLOATS, "11": ["11", "12", "13"], "0.52": FLOATS[::-1]})
    with pytest.raises(Invalid, match=r"the first line looks like data.*set spec\.header to false"):
        take(body)
    numbered = {str(i): [str(value % (i + 7)) for value in range(60)] for i in range(30)}
    with pytest.raises(Invalid) as caught:
        take(columns_of(numbered))
    assert "looks like data" not in str(caught.value)


@pytest.mark.parametrize("other", ["oak.", "'oak'", '"Oak"', "oak;"])
def test_a_name_with_marks_around_it_may_be_the_same_class(take: Take, other: str) -> None:
    quoted = '"' + other.replace('"', '""') + '"'
    outcome = take(columns_of({"w": FLOATS, "label": ["oak", quoted, "elm"]}))
    assert set(outcome.found.classes) == {"oak", other, "elm"}
    assert "merge_labels" in said(outcome, "similar_labels")
