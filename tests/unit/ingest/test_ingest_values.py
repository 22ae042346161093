"""Kinds of columns, missing values, labels, and the warnings that say what was done to them."""

import json
import math
from datetime import datetime

import pytest

from service.domain.errors import Invalid
from service.ingest import Limits
from tests.unit.ingest.uploads import Take, csv_of, json_lines, rows_as_csv


def table(values: list[str], labels: list[str] | None = None, beside: str = "b") -> str:
    """A table of the column `v`, a number that varies, and the label."""
    labels = labels or ["p", "q"]
    rows = [f'"{value}",{i / 4},{labels[i % len(labels)]}' for i, value in enumerate(values)]
    return "\n".join([f"v,{beside},target", *rows]) + "\n"


@pytest.mark.parametrize("word", ["", "?", "NA", "n/a", "null", "None", "#N/A", "  ", "<NA>"])
def test_words_for_missing_are_null_in_every_kind(take: Take, word: str) -> None:
    numbers = take(table(["1", word, "2.5", "-3e2"] * 3))
    assert numbers.kinds["v"] == "numeric"
    assert numbers.column("v")[:4] == [1, None, 2.5, -300]
    words = take(table(["red", word, "blue"] * 3))
    assert words.kinds["v"] == "categorical"
    assert words.column("v")[:3] == ["red", None, "blue"]
    truths = take(table(["yes", word, "no"] * 3))
    assert truths.column("v")[:3] == [True, None, False]
    assert numbers.codes.isdisjoint({"non_finite_values", "unparsable_values"})


@pytest.mark.parametrize("word", ["NaN", "inf", "-inf", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_become_null_and_are_counted(take: Take, word: str) -> None:
    outcome = take(table(["1", word, "2", word]))
    assert outcome.column("v") == [1, None, 2, None]
    (warning,) = [warning for warning in outcome.found.warnings if warning.code == "non_finite_values"]
    assert warning.detail.startswith("2 values")
    assert "v (2)" in warning.detail


def test_a_few_values_that_are_no_numbers_become_null_and_are_counted(take: Take) -> None:
    outcome = take(table([str(i) for i in range(300)] + ["about 7", "1e999"]))
    assert outcome.kinds["v"] == "numeric"
    assert outcome.column("v")[300:] == [None, None]
    assert "unparsable_values" in outcome.codes


def test_many_values_that_are_no_numbers_make_a_categorical_column(take: Take) -> None:
    assert take(table(["1", "2", "low", "3"] * 5)).kinds["v"] == "categorical"


@pytest.mark.parametrize("number", ["+5", " 5 ", "5.", ".5", "5e-3", "-0", "007.0"])
def test_numbers_are_read_in_all_their_forms(take: Take, number: str) -> None:
    assert take(table([number, "1", "2"])).column("v")[0] == float(number)


@pytest.mark.parametrize("number", ["1_000", "0x1A", "1,5", "٣"])
def test_what_only_looks_like_a_number_is_none(take: Take, number: str) -> None:
    assert take(table([number, "a", "b"] * 3)).kinds["v"] == "categorical"


@pytest.mark.parametrize(
    ("values", "numbers", "way"),
    [
        (["0,5", "-1,25", "3", "1.234,5"], [0.5, -1.25, 3, 1234.5], "decimal"),
        (["0,125", "2,500", "1,125"], [0.125, 2.5, 1.125], "decimal"),
        (["1,500", "20", "1,234,567.5", "0.5"], [1500, 20, 1234567.5, 0.5], "thousands"),
        (["1,500", "2,250"], [1500, 2250], "thousands"),
    ],
)
def test_commas_in_numbers_are_read_as_the_whole_column_means_them(
    take: Take, values: list[str], numbers: list[float], way: str
) -> None:
    outcome = take(table([*values, "?"] * 3))
    assert outcome.kinds["v"] == "numeric"
    assert outcome.column("v")[: len(values) + 1] == [*numbers, None]
    assert "unparsable_values" not in outcome.codes
    (warning,) = [warning for warning in outcome.found.warnings if warning.code == "commas_in_numbers"]
    assert warning.detail.startswith("commas of v were read as " + way)


@pytest.mark.parametrize("values", [["1,5", "2.5", "x"], ["1,2,3", "4,5"], ["12,34,56", "1,5"]])
def test_commas_that_make_no_numbers_leave_texts(take: Take, values: list[str]) -> None:
    assert take(table(values * 3)).kinds["v"] == "categorical"


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("YES", "no"), ("T", "F"), ("y", "n"), ("on", "off")])
def test_pairs_of_words_are_truth_values(take: Take, yes: str, no: str) -> None:
    outcome = take(table([yes, no, yes]))
    assert (outcome.kinds["v"], outcome.column("v")) == ("boolean", [True, False, True])


@pytest.mark.parametrize("values", [["0", "1"], ["yes", "false"], ["yes", "no", "maybe"]])
def test_other_pairs_are_not(take: Take, values: list[str]) -> None:
    assert take(table(values * 3)).kinds["v"] != "boolean"


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["2024-02-29", "2023-01-01"], datetime(2024, 2, 29)),
        (["2024-02-29T12:30:15.5Z", "2023-01-01T00:00:00Z"], datetime(2024, 2, 29, 12, 30, 15, 500_000)),
        (["2024-02-29 12:30+02:00", "2023-01-01 00:00+02:00"], datetime(2024, 2, 29, 10, 30)),
        (["02/03/2024", "12/31/2023"], datetime(2024, 2, 3)),
        (["02/03/2024", "31/12/2023"], datetime(2024, 3, 2)),
        (["2.3.2024", "31.12.2023"], datetime(2024, 3, 2)),
        (["02/03/2024 08:15", "12/31/2023 09:00"], datetime(2024, 2, 3, 8, 15)),
        (["3 Mar 2024", "31 Dec 2023"], datetime(2024, 3, 3)),
    ],
)
def test_dates_are_read_in_their_common_forms(take: Take, texts: list[str], first: datetime) -> None:
    outcome = take(table([*texts, "", texts[0]]))
    assert outcome.kinds["v"] == "datetime"
    assert outcome.column("v")[0] == first
    assert outcome.column("v")[2] is None


def test_text_beside_features_is_left_out_and_alone_it_is_the_data(take: Take) -> None:
    texts = [f"this is the long story of number {i}" for i in range(20)]
    beside = take(table(texts))
    assert (beside.found.modality, list(beside.kinds)) == ("tabular", ["b"])
    assert "text_left_out" in beside.codes
    alone = take(table(texts), exclude=["b"])
    assert (alone.found.modality, alone.found.inferred.modality, alone.kinds) == ("text", "text", {"v": "text"})
    assert alone.table["text"] == texts
    asked = take(table(texts), modality="text")
    assert asked.table["text"] == texts
    assert "features_left_out" in asked.codes


def test_a_text_is_the_data_when_its_name_says_so_or_little_is_beside_it(take: Take) -> None:
    def found(name: str, **beside: list[str]) -> str:
        columns = {name: [f"how long is the story of {i} ?" for i in range(20)], **beside, "y": ["a", "b"] * 10}
        lines = [",".join(row) for row in zip(*columns.values(), strict=True)]
        return take("\n".join([",".join(columns), *lines]), label="y").found.modality

    topics, numbers = ["red", "green", "blue", "red"] * 5, [str(i * 0.37) for i in range(20)]
    assert found("v", topic=topics) == "text"
    assert found("v", topic=topics, mood=topics, place=topics) == "tabular"
    assert found("v", size=numbers) == "tabular"
    assert found("review_text", size=numbers, topic=topics) == "text"
    many = {f"size{place}": numbers for place in range(6)}
    assert found("review_text", **many) == "tabular"


def test_of_two_texts_the_wordier_is_read(take: Take) -> None:
    lines = [f"the story number {i},it was long ago that the number {i} was told,{'ab'[i % 2]}" for i in range(20)]
    outcome = take("\n".join(["heading,story,y", *lines]), label="y")
    assert outcome.kinds == {"story": "text"}
    assert "text_left_out" in outcome.codes


def test_short_texts_are_taken_when_text_is_asked_for(take: Take) -> None:
    outcome = take(table(["good", "bad", "fine"] * 4), modality="text")
    assert outcome.table["text"][:3] == ["good", "bad", "fine"]


def test_a_row_without_its_text_is_skipped(take: Take) -> None:
    texts = [f"a story of number {i}" for i in range(6)]
    outcome = take(table([*texts, "  "]), modality="text")
    assert [(row.index, row.where, row.reason) for row in outcome.skipped] == [(6, "line 8", "no text")]


def test_ever_different_words_are_no_category(take: Take) -> None:
    for rows in (30, 900, 1500):
        outcome = take(table([f"w{i}" for i in range(rows)]))
        assert list(outcome.kinds) == ["b"]
        assert "identifier_left_out" in outcome.codes
    assert take(table([f"w{i // 2}" for i in range(2400)])).kinds["v"] == "categorical"


@pytest.mark.parametrize(
    ("values", "code"),
    [(["7"] * 4, "constant_column"), (["a", "a", "", "a"], "constant_column"), (["", "?", "NA", ""], "empty_column")],
)
def test_columns_with_nothing_to_learn_are_left_out(take: Take, values: list[str], code: str) -> None:
    outcome = take(table(values))
    assert list(outcome.kinds) == ["b"]
    assert [warning.code for warning in outcome.found.warnings if "v" in warning.detail.split(": ")[-1]] == [code]


def test_a_file_with_nothing_to_learn_at_all_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="nothing to learn from"):
        take("v,target\n1,p\n1,q\n1,p\n")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["3", "10", "2"], ["2", "3", "10"]),
        (["1.0", "2.0", "1"], ["1", "2"]),
        (["1.5", "1.0"], ["1.0", "1.5"]),
        (["-1", "1"], ["-1", "1"]),
        (["01", "02"], ["01", "02"]),
        (["b", "a", "10"], ["10", "a", "b"]),
        (["None", "some"], ["None", "some"]),
        (["日本", "été", "Straße"], ["Straße", "été", "日本"]),
        (["true", "false"], ["false", "true"]),
    ],
)
def test_classes_are_texts_in_order(take: Take, labels: list[str], classes: list[str]) -> None:
    outcome = take(table([str(i) for i in range(12)], labels))
    assert outcome.found.classes == classes


@pytest.mark.parametrize(
    ("values", "classes"), [([1.0, 2.0], ["1", "2"]), ([3, 4], ["3", "4"]), ([True, False], ["false", "true"])]
)
def test_labels_that_json_types_are_texts_too(take: Take, values: list[object], classes: list[str]) -> None:
    outcome = take(json_lines([{"x": i, "label": values[i % 2]} for i in range(6)]), "a.jsonl")
    assert outcome.found.classes == classes


def test_spaces_around_labels_are_removed_with_a_warning(take: Take) -> None:
    outcome = take(table([str(i) for i in range(12)], ["cat", " cat ", "dog", "dog "]))
    assert outcome.found.class_counts == {"cat": 6, "dog": 6}
    (warning,) = [warning for warning in outcome.found.warnings if warning.code == "stripped_labels"]
    assert warning.detail.startswith("6 labels")


@pytest.mark.parametrize("blank", ["", "\\N", " "])
def test_a_row_without_a_label_is_skipped(take: Take, blank: str) -> None:
    outcome = take(table([str(i) for i in range(6)], ["p", blank, "q"]))
    assert [(row.index, row.where, row.reason) for row in outcome.skipped] == [
        (1, "line 3", "no label"),
        (4, "line 6", "no label"),
    ]


def test_a_class_of_two_rows_is_kept_with_a_warning(take: Take) -> None:
    outcome = take(table([str(i) for i in range(12)], ["p"] * 5 + ["q"]))
    assert outcome.found.class_counts == {"p": 10, "q": 2}
    assert "rare_class" in outcome.codes
    assert "rare_class" not in take(table([str(i) for i in range(12)], ["p", "q"])).codes


def test_two_hundred_classes_are_ordinary(take: Take) -> None:
    outcome = take(table([str(i) for i in range(1200)], [f"class {i}" for i in range(200)]))
    assert len(outcome.found.classes) == 200


def test_one_class_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="only the class 'p'") as caught:
        take(table(["1", "2", "3"], ["p", ""]))
    assert caught.value.errors[0].loc == ["file", "column target"]


def test_no_label_at_all_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="'target' has no value"):
        take(table(["1", "2"], [""]), label="target")


def test_more_classes_than_the_limit_are_refused(take: Take) -> None:
    labels = [f"class {i}" for i in range(30)]
    with pytest.raises(Invalid, match="30 classes; the limit is 20"):
        take(table([str(i) for i in range(60)], labels), limits=Limits(max_classes=20))


@pytest.mark.parametrize("make", ["{i}.25", "{i}7"])
def test_a_label_that_is_a_quantity_is_told_from_a_class(take: Take, make: str) -> None:
    with pytest.raises(Invalid, match="regression"):
        take(table([str(i) for i in range(100)], [make.format(i=i) for i in range(100)]))


def test_a_quantity_of_ever_new_values_is_told_too(take: Take) -> None:
    rows = [f"{i % 7},{i + 0.5}" for i in range(10_500)]
    with pytest.raises(Invalid, match="regression"):
        take("\n".join(["x,target", *rows]))


def test_ratings_in_halves_are_classes(take: Take) -> None:
    assert len(take(table([str(i) for i in range(100)], [str(i / 2) for i in range(10)])).found.classes) == 10


@pytest.mark.parametrize("label", ['["a","b"]', "[1, 2]", "['a']"])
def test_several_labels_for_one_sample_are_refused(take: Take, label: str) -> None:
    rows = [f"{i}\t{label if i % 3 else '[]'}" for i in range(9)]
    with pytest.raises(Invalid, match="several labels"):
        take("\n".join(["x\ttarget", *rows]))
    rows_of_lists = [{"x": i, "label": ["a", "b"]} for i in range(4)]
    with pytest.raises(Invalid, match="several labels"):
        take(json_lines(rows_of_lists), "a.jsonl")


@pytest.mark.parametrize("separator", ["|", ";", ",", ", "])
def test_classes_that_are_sets_of_labels_are_refused(take: Take, separator: str) -> None:
    sets = [["news"], ["sport"], ["tech"], ["news", "sport"], ["sport", "tech"], ["tech", "news", "sport"]]
    with pytest.raises(Invalid, match="several labels for one sample, as 'news"):
        take(table(["1", "2"] * 12, [f'"{separator.join(one)}"' for one in sets]))


@pytest.mark.parametrize(
    "labels",
    [
        ["animal|dog", "animal|cat", "plant"],
        ["Toys, Games", "Clothing, Shoes", "Books"],
        ["0,5", "1,0", "1,5", "2,0", "2"],
    ],
)
def test_classes_with_separators_in_their_names_are_classes(take: Take, labels: list[str]) -> None:
    assert set(take(table(["1", "2"] * 15, [f'"{one}"' for one in labels])).found.classes) == set(labels)


def test_repeated_rows_are_kept_and_counted(take: Take) -> None:
    outcome = take("x,w,target\n1,a,p\n2,b,q\n1,a,p\n1,a,q\n1,a,p\n,a,p\n,a,p\n0,a,p\n")
    assert outcome.found.rows == 8
    (warning,) = [warning for warning in outcome.found.warnings if warning.code == "repeated_rows"]
    assert warning.detail.startswith("3 rows")
    assert "repeated_rows" not in take(csv_of(50)).codes


def test_lists_of_numbers_are_embeddings(take: Take) -> None:
    rows = [{"vec": [i, i + 0.5, -1], "label": "pq"[i % 2], "x": i} for i in range(6)]
    outcome = take(json_lines(rows), "a.jsonl")
    assert (outcome.found.modality, outcome.kinds) == ("embedding", {"vec": "embedding"})
    assert outcome.table["embedding"][1] == [1, 1.5, -1]
    assert "features_left_out" in outcome.codes
    text = "\n".join(["vec;label", *(f"[{i}, {i}.5, -1];{'pq'[i % 2]}" for i in range(6))])
    assert take(text).table["embedding"] == outcome.table["embedding"]


def test_embeddings_that_cannot_be_used_are_skipped_with_the_reason(take: Take) -> None:
    good = [{"vec": [i, 1.0], "label": "pq"[i % 2]} for i in range(30)]
    bad: list[dict[str, object]] = [
        {"vec": [1, 2, 3], "label": "p"},
        {"vec": None, "label": "p"},
        {"vec": [1, None], "label": "p"},
        {"vec": [1, math.inf], "label": "p"},
        {"vec": [], "label": "p"},
    ]
    outcome = take(json_lines(good + bad), "a.jsonl")
    reasons = [row.reason for row in outcome.skipped]
    assert [row.index for row in outcome.skipped] == [30, 31, 32, 33, 34]
    assert "3 numbers, the others have 2" in reasons[0]
    assert "no embedding" in reasons[1]
    assert "missing or infinite" in reasons[2]
    assert "missing or infinite" in reasons[3]
    assert "0 numbers" in reasons[4]


def test_a_class_whose_rows_are_all_skipped_is_no_class(take: Take) -> None:
    rows = [{"vec": [i, 1.0], "label": "pq"[i % 2]} for i in range(30)] + [{"vec": [1], "label": "a"}]
    outcome = take(json_lines(rows), "a.jsonl")
    assert outcome.found.classes == ["p", "q"]
    assert len(outcome.skipped) == 1


def test_when_every_row_is_skipped_the_first_reason_is_told(take: Take) -> None:
    with pytest.raises(Invalid, match=r"line 2: 4 fields"):
        take("x,target\n1,a,?,!\n2,b,?,!\n3,a,?,!\n", label="target")


def test_a_vector_of_few_rows_does_not_make_the_data_vectors(take: Take) -> None:
    rows = [{"x": place / 3, "v": [1.0, 2.0] if place < 5 else None, "label": "pq"[place % 2]} for place in range(40)]
    outcome = take("\n".join(map(json.dumps, rows)), "rows.jsonl")
    assert outcome.found.modality == "tabular"
    assert len(outcome.labels) == 40


def test_numbers_with_spaces_between_them_are_a_vector(take: Take) -> None:
    rows = [
        {"pixels": " ".join(str((place * 7 + pixel) % 256) for pixel in range(36)), "Usage": ("Training", "PublicTest")[place % 4 == 0],
         "emotion": place % 3}
        for place in range(60)
    ]  # fmt: skip
    outcome = take(rows_as_csv(rows))
    assert outcome.found.modality == "embedding"
    assert outcome.table["embedding"][1][:3] == [7.0, 8.0, 9.0]
    assert outcome.found.inferred.label == "emotion"
    assert outcome.found.splits == {"test": 15, "train": 45}


def test_a_few_numbers_with_spaces_between_them_are_no_vector(take: Take) -> None:
    rows = [{"seats": f"{place % 4} {place % 3}", "b": place / 7, "label": "pq"[place % 2]} for place in range(60)]
    assert take(rows_as_csv(rows)).kinds["seats"] == "categorical"
