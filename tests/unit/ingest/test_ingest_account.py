"""What is said of each column: its role and kind with their reasons, what is missing, and examples."""

import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.uploads import Take, rows_as_csv, rows_as_json_lines


def rows() -> list[dict[str, object]]:
    """A table with a column of each role."""
    return [
        {
            "id": f"k{place * 7}",
            "amount": "-" if place % 10 == 0 else ("n/k" if place % 10 == 1 else place / 4),
            "colour": (None, "red", "blue")[place % 3],
            "always": "same",
            "visited": f"2024-0{1 + place % 9}-11",
            "patient": f"P{place // 3}",
            "split": ("train", "test")[place % 5 == 0],
            "label": ("cat", "dog", None)[min(place % 7, 2) if place % 7 == 2 else place % 2],
        }
        for place in range(120)
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_every_column_says_its_role_its_kind_and_why(take: Take, name: str) -> None:
    text = rows_as_csv(rows()) if name == "rows.csv" else rows_as_json_lines(rows())
    outcome = take(text, name=name, group="patient")
    said = {one.name: one for one in outcome.found.columns}
    assert list(said) == list(rows()[0])
    assert {name: (one.role, one.kind) for name, one in said.items()} == {
        "id": ("id", "categorical") if said["id"].kind == "categorical" else ("id", "text"),
        "amount": ("input", "numeric"),
        "colour": ("input", "categorical"),
        "always": ("left_out", "categorical"),
        "visited": ("input", "datetime"),
        "patient": ("group", "categorical"),
        "split": ("split", "categorical"),
        "label": ("label", "categorical"),
    }
    assert (said["amount"].missing, said["amount"].unreadable) == (12, 12)
    assert "number" in said["amount"].why
    assert said["colour"].missing == 40
    assert said["label"].missing == sum(row["label"] is None for row in rows())
    assert said["colour"].examples == ["red", "blue"]
    assert "the same value in every row" in said["always"].why
    assert "spec.group" in said["patient"].why


def test_missing_and_read_values_are_all_values(take: Take) -> None:
    outcome = take(rows_as_csv(rows()))
    for one in outcome.found.columns:
        feature = next((feature for feature in outcome.found.features if feature.name == one.name), None)
        if feature is not None and one.name != "label":
            nulls = sum(value is None for value in outcome.column(one.name))
            assert nulls <= one.missing + one.unreadable


def test_examples_are_values_that_are_there(take: Take) -> None:
    table = [{"v": ("NA", "red", "blue")[place % 3], "b": place / 7, "label": "pq"[place % 2]} for place in range(60)]
    assert next(one for one in take(rows_as_csv(table)).found.columns if one.name == "v").examples == ["red", "blue"]


def test_dates_and_fractions_are_no_candidates_for_the_label(take: Take) -> None:
    table = [
        {
            "seen": f"0{1 + place % 9}.03.2024",
            "share": f"{place % 7},5",
            "colour": ("red", "blue")[place % 2],
            "size": "sml"[place % 3],
        }
        for place in range(60)
    ]
    with pytest.raises(Invalid, match="size") as refusal:
        take(rows_as_csv(table))
    offered = str(refusal.value).split("name it as")[0]
    assert "colour" in offered
    assert "seen" not in offered
    assert "share" not in offered
