"""The label column: how it is guessed, and how its values become classes without a word lost."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest.labels import sorted_classes
from tests.unit.ingest.test_ingest_columnar import parquet
from tests.unit.ingest.uploads import Outcome, Take, json_lines, png, zip_of


def table(labels: Sequence[str], rows: int = 60, name: str = "label") -> str:
    """A CSV of a measurement and a label that takes its values in turn."""
    return f"size,{name}\n" + "".join(f"{i * 0.37 % 5:.3f},{labels[i % len(labels)]}\n" for i in range(rows))


def lines(labels: Sequence[object], rows: int = 60) -> str:
    """The same in JSON lines."""
    return json_lines([{"size": i * 0.37 % 5, "label": labels[i % len(labels)]} for i in range(rows)])


def said(outcome: Outcome, code: str) -> str:
    """The one warning with this code."""
    (detail,) = [one.detail for one in outcome.found.warnings if one.code == code]
    return detail


def columns_of(columns: Mapping[str, Sequence[object]], rows: int = 60) -> str:
    """A CSV whose columns take their values in turn."""
    body = [",".join(str(values[i % len(values)]) for values in columns.values()) for i in range(rows)]
    return "\n".join([",".join(columns), *body]) + "\n"


FLOATS = [f"{i * 0.37:.2f}" for i in range(59)]


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"Exited": "10", "city": ["Rome", "Oslo", "Bern"], "score": FLOATS}, "Exited"),
        ({"species": ["oak", "elm", "ash"], "height": FLOATS, "leaf": ["broad", "thin"]}, "species"),
        ({"y": "ab", "w": FLOATS, "kind": ["u", "v", "w"]}, "y"),
        ({"quality": "34567", "alcohol": FLOATS, "colour": ["red", "white"]}, "quality"),
        ({"Churn": ["Yes", "No"], "plan": ["s", "m", "l"], "minutes": FLOATS}, "Churn"),
    ],
)
def test_a_known_name_is_the_label_wherever_it_stands(take: Take, columns: dict[str, Any], label: str) -> None:
    outcome = take(columns_of(columns))
    assert (outcome.found.inferred.label, outcome.found.inferred.label_candidates) == (label, [])
    assert "label_guessed" not in outcome.codes


def test_a_known_name_that_has_many_values_is_no_label(take: Take) -> None:
    with pytest.raises(Invalid, match="which column is the label") as caught:
        take(columns_of({"y": [str(i * 7 % 211) for i in range(211)], "w": FLOATS}, rows=300))
    assert caught.value.members == {"label_candidates": ["y", "w"]}


def test_a_guess_with_rivals_names_them(take: Take) -> None:
    outcome = take(columns_of({"survived": ["0", "1", "1"], "fare": FLOATS, "class": ["First", "Second"]}))
    assert outcome.found.inferred.label_candidates == ["survived", "class"]
    assert "'survived'" in said(outcome, "label_guessed")
    assert "class" in said(outcome, "label_guessed")


@pytest.mark.parametrize(
    "columns",
    [
        {"w": FLOATS, "town": ["Bonn", "Kiel", "Ulm"], "shape": ["round", "square"]},
        {"w": FLOATS, "shape": ["round", "square"], "years": [str(i) for i in range(17)]},
        {"shape": ["round", "square"], "town": ["Bonn", "Kiel", "Ulm"], "w": FLOATS},
    ],
)
def test_a_file_where_several_columns_may_be_the_label_is_refused_with_them(
    take: Take, columns: dict[str, Sequence[object]]
) -> None:
    with pytest.raises(Invalid, match=r"it may be .*shape \(2 values\)") as caught:
        take(columns_of(columns))
    assert caught.value.errors[0].loc == ["spec", "label"]


def test_the_only_column_of_classes_is_the_label_at_the_end(take: Take) -> None:
    assert (
        take(columns_of({"w": FLOATS, "v": FLOATS[::-1], "shape": ["round", "square"]})).found.inferred.label == "shape"
    )


def test_words_after_numbers_of_few_values_are_taken_with_a_warning(take: Take) -> None:
    outcome = take(columns_of({"rooms": ["1", "2", "3", "4"], "w": FLOATS, "shape": ["round", "square", "flat"]}))
    assert outcome.found.inferred.label_candidates == ["shape", "rooms"]
    assert "rooms" in said(outcome, "label_guessed")


ONE_HOT = {"OAK": "100", "ELM": "010", "ASH": "001"}


def test_one_hot_columns_are_offered_as_one_label(take: Take) -> None:
    with pytest.raises(Invalid) as caught:
        take(columns_of({"w": FLOATS, **ONE_HOT}))
    assert '["OAK", "ELM", "ASH"] (one class a column)' in str(caught.value)


@pytest.mark.parametrize("bits", [("0", "1"), ("0.0", "1.0"), ("False", "True")])
def test_one_hot_columns_are_one_label_when_they_are_named(take: Take, bits: tuple[str, str]) -> None:
    written = {name: [bits[int(bit)] for bit in ones] for name, ones in ONE_HOT.items()}
    outcome = take(columns_of({"w": FLOATS, **written}), label=["OAK", "ELM", "ASH"])
    assert outcome.found.class_counts == {"ASH": 20, "ELM": 20, "OAK": 20}
    assert outcome.labels[:3] == ["OAK", "ELM", "ASH"]
    assert list(outcome.kinds) == ["w"]


def test_rows_of_no_class_and_of_several_are_skipped_with_the_reason(take: Take) -> None:
    text = columns_of({"w": FLOATS, **ONE_HOT}) + "1.5,0,0,0\n2.5,1,0,1\n3.5,,0,1\n4.5,0.7,0,0\n"
    outcome = take(text, label=["OAK", "ELM", "ASH"])
    assert [(one.index, one.where) for one in outcome.skipped] == [(60 + i, f"line {62 + i}") for i in range(4)]
    reasons = [one.reason for one in outcome.skipped]
    assert reasons[0] == "no label: none of its columns is 1"
    assert reasons[1] == "several labels: OAK, ASH are 1"
    assert reasons[2] == "no label: OAK is '', not 0 or 1"
    assert "OAK is '0.7'" in reasons[3]


def test_one_hot_columns_of_json_lines_and_parquet_are_joined_too(take: Take) -> None:
    rows = [{"w": i / 7, "OAK": i % 2, "ELM": 1 - i % 2} for i in range(30)]
    for content, name in ((json_lines(rows), "a.jsonl"), (parquet(pa.Table.from_pylist(rows)), "a.parquet")):
        assert take(content, name, label=["OAK", "ELM"]).found.class_counts == {"ELM": 15, "OAK": 15}


@pytest.mark.parametrize(
    "spec", [{"label": ["OAK", "YEW"]}, {"label": ["OAK", "OAK"]}, {"label": ["OAK", "ELM"], "id": "ELM"}]
)
def test_a_list_of_label_columns_that_does_not_fit_is_refused(take: Take, spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        take(columns_of({"w": FLOATS, **ONE_HOT}), **spec)
    assert caught.value.errors[0].loc == ["spec", "label"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["3", "3.0", "3.00", "4"], ["3", "4"]),
        (["2.5", "2.50", "1", "1.0"], ["1", "2.5"]),
        (["007", "07", "7"], ["007", "07", "7"]),
        (["1.0", "1", "one"], ["1", "1.0", "one"]),
        (["1.0", "1", "", "2"], ["1", "2"]),
    ],
)
def test_a_number_is_one_class_however_many_noughts_follow_it(
    take: Take, labels: list[str], classes: list[str]
) -> None:
    assert set(take(table(labels)).found.classes) == set(classes)


def test_numbers_of_two_types_in_json_are_one_class(take: Take) -> None:
    outcome = take(lines([4, 4.0, 4.5, "4.50"]), "a.jsonl")
    assert outcome.found.class_counts == {"4": 30, "4.5": 30}
    assert "4, 4.0 as 4" in said(outcome, "number_labels")


@pytest.mark.parametrize(
    "labels",
    [
        ["Open", "OPEN", "shut"],
        ["caf\u00e9", "cafe\u0301", "bar"],
        ["ham\u200b", "ham", "spam"],
        ["not spam", "not\u00a0spam", "spam"],
        ["not_spam", "not spam", "spam"],
        ["\uff21\uff22", "AB", "CD"],
        ["007", "7", "8"],
        ["Straße", "STRASSE", "Weg"],
        ["\u2764", "\u2764\ufe0f", "x"],
        ["-1", "\u22121", "1"],
        ["0", "-0", "2"],
        ["1000", "1,000", "20"],
        ["T-shirt", "T\u2013shirt", "hat"],
        ["T-shirt", "T\u2011shirt", "hat"],
        ["R&D", "R&amp;D", "HR"],
    ],
)
def test_spellings_of_one_class_are_kept_apart_and_named(take: Take, labels: list[str]) -> None:
    outcome = take(lines(labels), "a.jsonl")
    assert outcome.found.class_counts == dict.fromkeys(outcome.found.classes, 20)
    assert set(outcome.found.classes) == set(labels)
    detail = said(outcome, "similar_labels")
    cure = json.loads(detail[detail.index("{") :])
    merged = take(lines(labels), "a.jsonl", **cure)
    assert sorted(merged.found.class_counts.values()) == [20, 40]
    assert "merged_labels" in merged.codes
    assert "similar_labels" not in merged.codes


def test_the_cure_of_similar_classes_merges_every_group_that_is_named(take: Take) -> None:
    content = lines(["True", "false", "TRUE", "False", "other"])
    detail = said(take(content, "a.jsonl"), "similar_labels")
    cure = json.loads(detail[detail.index("{") :])
    assert len(take(content, "a.jsonl", **cure).found.classes) == 3


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b"],
        ["-1", "1"],
        ["1", "2"],
        ["re-do", "redo"],
        ["+", "-", "x"],
        ["9007199254740992", "9007199254740993"],
        ["1,000", "1000", "0,5"],
    ],
)
def test_classes_that_differ_in_more_than_spelling_are_not_doubted(take: Take, labels: list[str]) -> None:
    assert "similar_labels" not in take(lines(labels), "a.jsonl").codes


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("New  York", "New York"),
        ("cafe\u0301", "caf\u00e9"),
        ("R&amp;D", "R&D"),
        ("\u0441at", "cat"),
        ("oak.", "oak"),
        ("1,000", "1000"),
    ],
)
def test_of_equally_frequent_spellings_the_plain_one_is_kept(take: Take, odd: str, plain: str) -> None:
    detail = said(take(lines([odd, plain, "other"]), "a.jsonl"), "similar_labels")
    assert json.loads(detail[detail.index("{") :]) == {"merge_labels": {plain: [odd]}}


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([f"name {i}" for i in range(60)], "60 classes in 60 rows"),
        ([f"name {i % 57}" for i in range(60)], "57 classes in 60 rows"),
        ([str(i * 3 % 50) for i in range(45)], "regression"),
    ],
)
def test_a_label_that_differs_in_nearly_every_row_is_refused(take: Take, labels: list[str], shown: str) -> None:
    with pytest.raises(Invalid, match=shown) as caught:
        take(table(labels, len(labels)))
    assert caught.value.errors[0].loc == ["file", "column label"]


@pytest.mark.parametrize("labels", [[f"name {i // 2}" for i in range(60)], [f"name {i}" for i in range(19)]])
def test_classes_of_two_samples_and_the_first_few_of_many_are_taken(take: Take, labels: list[str]) -> None:
    assert len(take(table(labels, len(labels))).found.classes) == len(set(labels))


@pytest.mark.parametrize(
    "merge", [{"yes": ["Yes", "YES"]}, {"Yes": "yes", "YES": "yes"}, {"yes": ["yes", "Yes ", "YES"]}]
)
def test_labels_are_merged_in_either_form(take: Take, merge: dict[str, Any]) -> None:
    outcome = take(table(["Yes", "YES", "no"]), merge_labels=merge)
    assert outcome.found.class_counts == {"no": 20, "yes": 40}
    assert said(outcome, "merged_labels").endswith("Yes (20), YES (20) as yes")


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"yes": ["Yess"]}, r"no label 'Yess' in 'label'; its labels are YES, Yes, no; did you mean 'Yes'\?"),
        ({"a": ["Yes"], "b": ["Yes"]}, "'Yes' is to become 'a' and 'b'"),
        ({"Yes": "YES", "YES": "no"}, "'Yes' is to become 'YES', and 'YES' is to become 'no'"),
        ({"no": " "}, "without a name"),
    ],
)
def test_a_merge_that_cannot_be_done_is_refused(take: Take, merge: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        take(table(["Yes", "YES", "no"]), merge_labels=merge)
    assert caught.value.errors[0].loc == ["spec", "merge_labels"]


def test_merging_all_classes_into_one_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="only the class 'a'"):
        take(table(["a", "b"]), merge_labels={"b": "a"})


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_shares_of_a_class_are_refused_and_may_be_named(take: Take, form: str) -> None:
    content = table(["0", "0.25", "1"]) if form == "csv" else lines([0, 0.25, 1])
    with pytest.raises(Invalid, match=r"as 0\.25: shares of a class \(soft labels\)"):
        take(content, f"a.{form}")
    named = take(content, f"a.{form}", merge_labels={"perhaps": ["0.25"]})
    assert set(named.found.classes) == {"0", "1", "perhaps"}


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "?", "-", "---", "#NV", "k. A."])
def test_a_word_for_a_missing_value_is_a_class_with_a_warning_and_a_cure(take: Take, word: str) -> None:
    for content, name in ((table(["up", word, "down"]), "a.csv"), (lines(["up", word, "down"]), "a.jsonl")):
        outcome = take(content, name)
        assert outcome.found.class_counts == {"up": 20, word: 20, "down": 20}
        detail = said(outcome, "label_looks_missing")
        assert f"{word} (20)" in detail
        cured = take(content, name, **json.loads(detail[detail.index("{") :]))
        assert cured.found.class_counts == {"down": 20, "up": 20}
        assert Counter(one.reason for one in cured.skipped) == {"no label": 20}


def test_a_backslash_n_is_no_label_in_a_text_table_alone(take: Take) -> None:
    assert take(table(["up", r"\N", "down"])).found.class_counts == {"down": 20, "up": 20}
    assert take(table(["up", r"\N", "down"]), missing=[]).found.class_counts[r"\N"] == 20
    assert take(lines(["up", r"\N", "down"]), "a.jsonl").found.class_counts[r"\N"] == 20


def test_a_number_that_is_none_is_no_label(take: Take) -> None:
    labels = [1.0, 2.0, float("nan")]
    rows = {"size": [i / 7 for i in range(60)], "label": [labels[i % 3] for i in range(60)]}
    for content, name in ((lines(labels), "a.jsonl"), (parquet(pa.table(rows)), "a.parquet")):
        outcome = take(content, name)
        assert outcome.found.class_counts == {"1": 20, "2": 20}
        assert {one.reason for one in outcome.skipped} == {"no label"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8), min_size=2, max_size=6))
def test_any_distinct_names_come_back_or_their_loss_is_told(take: Take, names: set[str]) -> None:
    """In a source with real nulls every name is a class, but for the spaces around it."""
    stripped = {name.strip() for name in names} - {""}
    given_labels = sorted(names)
    try:
        outcome = take(lines(given_labels), "a.jsonl")
    except Invalid as error:
        refusals = ("several labels", "soft labels", "at least 2 classes", "regression", "lists")
        if not any(word in str(error) for word in refusals):
            raise
        return
    told = outcome.codes & {"number_labels"}
    assert set(outcome.found.classes) == stripped or told
    assert ("stripped_labels" in outcome.codes) == any(name != name.strip() for name in names if name.strip())


def test_a_label_of_spaces_alone_is_none_and_not_one_with_spaces_around_it(take: Take) -> None:
    outcome = take(lines(["up", " ", "down"]), "a.jsonl")
    assert outcome.found.class_counts == {"up": 20, "down": 20}
    assert "stripped_labels" not in outcome.codes


def test_classes_have_one_order_however_they_were_met() -> None:
    orders = {sorted_classes(names) for names in permutations(["-7.8", "-6.0", "nan", "10"])}
    assert orders == {("-6.0", "-7.8", "10", "nan")}
    assert sorted_classes({"10", "9", "-1", "inf"}) == ("-1", "9", "10", "inf")


def test_names_that_are_whole_numbers_are_classes_in_the_order_of_numbers_in_every_format(take: Take) -> None:
    names = [str(number) for number in range(12, 0, -1)]
    images = {f"{name}/{i}.png": png(value=20 * i + int(name)) for name in names for i in range(2)}
    found = [
        take(table(names, 120)),
        take(lines(names, 120), "a.jsonl"),
        take(
            parquet(pa.table({"size": [i * 0.37 for i in range(120)], "label": [names[i % 12] for i in range(120)]})),
            "a.parquet",
        ),
        take(zip_of(images), "a.zip"),
    ]
    assert [outcome.found.classes for outcome in found] == [names[::-1]] * 4
