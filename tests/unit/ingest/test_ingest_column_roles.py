"""Columns that are not learnt from: counters, names of rows and of groups, and the label in other words."""

import random
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest.counters import RowOrder
from tests.unit.ingest.test_ingest_columnar import of, parquet
from tests.unit.ingest.uploads import Outcome, Take, json_lines, png, zip_of

ROWS = 120


def table(column: str, value: Callable[[int], object], rows: int = ROWS) -> str:
    """A CSV of one column under test, a measurement and a label that are both drawn."""
    draw = random.Random(7)
    lines = [f"{value(i)},{draw.gauss(0, 1):.3f},{draw.choice('xy')}" for i in range(rows)]
    return "\n".join([f"{column},width,label", *lines]) + "\n"


def said(outcome: Outcome, code: str) -> str:
    """The warnings with this code."""
    return " ".join(one.detail for one in outcome.found.warnings if one.code == code)


SHUFFLED = random.Random(1).sample(range(ROWS), ROWS)
GAPS = sorted(random.Random(2).sample(range(150), ROWS))


@pytest.mark.parametrize(
    "value",
    [
        lambda i: i,
        lambda i: i + 1,
        lambda i: i + 5_000,
        lambda i: ROWS - i,
        lambda i: i % 40,
        lambda i: i % 40 + 1,
        lambda i: f"{i}.0",
        lambda i: SHUFFLED[i],
        lambda i: GAPS[i],
    ],
)
def test_a_counter_of_rows_is_found_by_its_values(take: Take, value: Callable[[int], object]) -> None:
    outcome = take(table("place", value))
    assert list(outcome.kinds) == ["width"]
    assert "place" in said(outcome, "row_number_left_out")


@pytest.mark.parametrize("name", ["rownames", "S.No", "Unnamed: 0.1", "Sr. No.", "#", "row_number", "Unnamed: 0"])
def test_a_counter_with_a_counters_name_is_never_learnt_from(take: Take, name: str) -> None:
    assert list(take(table(name, lambda i: i + 1)).kinds) == ["width"]
    shuffled = take(table(name, lambda i: SHUFFLED[i] * 3))
    assert list(shuffled.kinds) == ["width"]


def test_a_saved_index_of_joined_tables_is_left_out(take: Take) -> None:
    draw = random.Random(5)
    outcome = take(table("Unnamed: 0", lambda _: draw.randrange(90)))
    assert list(outcome.kinds) == ["width"]
    assert "Unnamed: 0" in said(outcome, "row_number_left_out")


@pytest.mark.parametrize(
    "value",
    [
        lambda i: 1_000 + i * 37,
        lambda i: 1_700_000_000 + i * 3_600,
        lambda i: i * i,
        lambda i: f"{i}.5",
        lambda i: i % 4,
        lambda i: i // 2,
        lambda i: "" if i == 50 else i,
    ],
)
def test_whole_numbers_that_count_no_rows_are_a_measurement(take: Take, value: Callable[[int], object]) -> None:
    assert take(table("amount", value)).kinds["amount"] == "numeric"


@pytest.mark.parametrize("name", ["year", "hour", "day_of_year", "Month"])
def test_a_calendar_is_a_measurement(take: Take, name: str) -> None:
    assert take(table(name, lambda i: 1_900 + i)).kinds[name] == "numeric"


def test_a_counter_that_is_asked_for_is_learnt_from(take: Take) -> None:
    assert "place" in take(table("place", lambda i: i), features=["place", "width"]).kinds
    assert "place" in take(table("place", lambda i: i), kinds={"place": "numeric"}).kinds


def test_a_counter_alone_is_learnt_from_with_a_warning(take: Take) -> None:
    outcome = take("a,label\n" + "".join(f"{i},{'xy'[i // 30 % 2]}\n" for i in range(ROWS)))
    assert list(outcome.kinds) == ["a"]
    assert "a" in said(outcome, "row_number_learnt")


@given(
    st.integers(-(2**40), 2**40),
    st.integers(20, 200),
    st.integers(1, 50),
    st.randoms(use_true_random=False),
    st.sampled_from([pa.int64(), pa.float64(), pa.string()]),
)
def test_consecutive_numbers_are_a_counter_however_they_are_split(
    first: int, rows: int, step: int, draw: random.Random, kind: pa.DataType
) -> None:
    numbers = list(range(first, first + rows))
    draw.shuffle(numbers)
    for changed in (False, True):
        if changed:
            numbers[rows // 2] = first + 3 * rows
        order = RowOrder("place")
        for start in range(0, rows, step):
            order.add(pa.array(numbers[start : start + step], pa.int64()).cast(kind))
        # With one number far away it is none, unless the rest stand in order.
        assert order.is_row_number(rows) is not changed


@pytest.mark.parametrize(
    "value", [lambda i: f"A-{100_000 + i * 37}", lambda i: f"{i * 7919:032x}", lambda i: f"T{i * i}/{i}"]
)
def test_codes_that_all_differ_name_the_rows(take: Take, value: Callable[[int], object]) -> None:
    outcome = take(table("voucher", value))
    assert list(outcome.kinds) == ["width"]
    assert "voucher" in said(outcome, "identifier_left_out")


def test_words_that_all_differ_are_the_data_where_there_is_nothing_else(take: Take) -> None:
    outcome = take("host,label\n" + "".join(f"h{i * 7919}.example,{'xy'[i * 7 % 5 % 2]}\n" for i in range(ROWS)))
    assert (outcome.found.modality, outcome.kinds) == ("text", {"host": "text"})


@pytest.mark.parametrize("index", ["Unnamed: 0", "index", "rownames", "S.No"])
def test_an_id_of_the_users_own_is_taken_before_the_place_of_a_row(take: Take, index: str) -> None:
    draw = random.Random(3)
    lines = [f"{i},K{i * 3},{draw.gauss(0, 1):.3f},{draw.choice('xy')}" for i in range(ROWS)]
    outcome = take("\n".join([f"{index},sample_id,width,label", *lines]))
    assert outcome.found.inferred.id == "sample_id"
    assert list(outcome.kinds) == ["width"]


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "user", "session_no", "Subject ID", "store_id", "id"])
def test_a_group_is_offered_and_not_learnt_from(take: Take, name: str) -> None:
    for value in (lambda i: 300 + i // 3, lambda i: f"P{i % 40:03d}"):
        outcome = take(table(name, value))
        assert list(outcome.kinds) == ["width"]
        assert outcome.found.inferred.group_candidates == [name]
        assert f"{name} (40 values, 3.0 rows each)" in said(outcome, "group_left_out")


@pytest.mark.parametrize("name", ["device", "group", "user", "shop_id"])
def test_a_category_of_few_values_is_no_group(take: Take, name: str) -> None:
    outcome = take(table(name, lambda i: "abcd"[i % 4]))
    assert (outcome.kinds[name], outcome.found.inferred.group_candidates) == ("categorical", [])


def test_the_group_that_the_client_names_is_written_and_not_learnt_from(take: Take) -> None:
    for name in ("patient_id", "ward"):
        outcome = take(table(name, lambda i: "" if i == 5 else f"W{i % 4}"), group=name)
        assert list(outcome.kinds) == ["width"]
        assert outcome.table["group"][3:7] == ["W3", "W0", None, "W2"]
        assert pq.read_schema(outcome.data).field("group").type == pa.string()
        assert outcome.found.inferred.group_candidates == []
        assert "group_left_out" not in outcome.codes
    assert "group" not in take(table("ward", lambda i: f"W{i % 4}")).table


@pytest.mark.parametrize(
    "spec", [{"group": "wart"}, {"group": "label", "label": "label"}, {"group": "ward", "exclude": ["ward"]}]
)
def test_a_group_that_does_not_fit_is_refused(take: Take, spec: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        take(table("ward", lambda i: f"W{i % 4}"), **spec)
    assert caught.value.errors[0].loc in (["spec", "group"], ["spec", "exclude"])


def test_rows_that_differ_in_the_group_alone_repeat_each_other(take: Take) -> None:
    text = "ward,width,label\n" + "".join(f"W{i},{i % 3}.5,{'xyx'[i % 3]}\n" for i in range(30))
    assert said(take(text, group="ward"), "repeated_rows").startswith("27 rows")


NAMES = {"0": "setter", "1": "poodle", "2": "boxer"}


def leaking(value: Callable[[str, random.Random], object], rows: int = ROWS) -> str:
    """A CSV whose column `told` is made from the label."""
    draw = random.Random(11)
    labels = [draw.choice("012") for _ in range(rows)]
    lines = [f"{value(label, draw)},{draw.gauss(0, 1):.3f},{label}" for label in labels]
    return "\n".join(["told,width,target", *lines])


@pytest.mark.parametrize(
    "value",
    [
        lambda label, _: NAMES[label],
        lambda label, _: f"{int(label) * 10}.0",
        lambda label, draw: "" if draw.random() < 0.2 else NAMES[label],
        lambda label, _: label,
    ],
)
def test_the_label_in_other_words_is_left_out_and_told(
    take: Take, value: Callable[[str, random.Random], object]
) -> None:
    outcome = take(leaking(value))
    assert list(outcome.kinds) == ["width"]
    assert "told" in said(outcome, "label_leak")
    assert "told" in take(leaking(value), features=["told", "width"]).kinds


@pytest.mark.parametrize(
    ("name", "words", "label", "is_label"),
    [
        ("animal", ["cat", "dog"], ["0", "1"], True),
        ("animal", ["cat", "dog"], ["c", "d"], False),
        ("label_name", ["cat", "dog"], ["c", "d"], True),
        ("AnimalCode", ["7", "9"], ["cat", "dog"], True),
        ("animal", ["cat", "dog"], ["cat", "dog"], True),
        ("temperature", ["36.6", "39.2"], ["healthy", "sick"], False),
        ("taken", ["2026-01-02", "2026-03-04"], ["0", "1"], False),
        ("scanner", ["north", "south"], ["0", "1"], False),
        ("fold", ["1", "2"], ["cat", "dog"], False),
    ],
)
def test_what_is_the_label_once_more_is_corrected_with_it_and_what_was_measured_is_not(
    take: Take, name: str, words: list[str], label: list[str], is_label: bool
) -> None:
    lines = [f"{words[row % 2]},{row * 0.37 % 5:.2f},{label[row % 2]}" for row in range(ROWS)]
    outcome = take("\n".join([f"{name},width,target", *lines]))
    assert outcome.found.inferred.label_copies == [name] * is_label
    kept = "changes it with the label" if is_label else "leaves it as it is"
    assert kept in said(outcome, "label_leak")


@pytest.mark.parametrize("mark", [".", "_"])
def test_classes_have_the_names_of_the_column_that_has_names(take: Take, mark: str) -> None:
    outcome = take(
        leaking(lambda label, _: NAMES[label]).replace("told,width,target", f"class{mark}name,width,class{mark}id")
    )
    assert outcome.found.inferred.label == f"class{mark}name"
    assert outcome.found.inferred.label_copies == [f"class{mark}id"]
    # Either column gives the same classes of samples: nobody is asked which it is.
    assert outcome.found.inferred.label_candidates == []
    assert "label_guessed" not in outcome.codes


@pytest.mark.parametrize(
    "value",
    [
        lambda label, draw: f"{NAMES[label]} {draw.choice('abc')}",
        lambda label, _: "small" if label == "0" else "large",
    ],
)
def test_what_decides_the_label_or_follows_from_it_is_told(
    take: Take, value: Callable[[str, random.Random], object]
) -> None:
    outcome = take(leaking(value))
    assert list(outcome.kinds) == ["told", "width"]
    assert "told" in said(outcome, "label_leak")
    assert "spec.exclude" in said(outcome, "label_leak")


@pytest.mark.parametrize("wrong", [0.01, 0.1])
def test_what_only_goes_with_the_label_is_learnt_from(take: Take, wrong: float) -> None:
    outcome = take(leaking(lambda label, draw: NAMES[draw.choice("012") if draw.random() < wrong else label], 900))
    assert list(outcome.kinds) == ["told", "width"]
    assert "label_leak" not in outcome.codes


def test_a_leak_is_found_over_many_batches(take: Take) -> None:
    outcome = take(leaking(lambda label, _: NAMES[label], 9_000))
    assert list(outcome.kinds) == ["width"]
    late = leaking(lambda label, _: NAMES[label], 9_000) + "\nsetter,0.5,1"
    assert list(take(late).kinds) == ["told", "width"]


def test_every_column_that_is_left_out_is_named_in_a_warning_once(take: Take) -> None:
    draw = random.Random(4)
    rows = [
        {
            "n": i,
            "code": f"Q{i * i}",
            "user_id": i // 4,
            "same": 7,
            "none": None,
            "told": "ab"[kind],
            "size": draw.random(),
            "label": kind,
        }
        for i in range(ROWS)
        for kind in (draw.randrange(2),)
    ]
    outcome = take(json_lines(rows), "a.jsonl")
    assert list(outcome.kinds) == ["size"]
    details = " ".join(one.detail.partition("; ")[0] for one in outcome.found.warnings if "left out" in one.detail)
    for name in ("n", "code", "user_id", "same", "none", "told"):
        assert details.replace(",", " ").split().count(name) == 1


def test_an_image_is_called_by_its_path(take: Take) -> None:
    files = {f"{'ab'[i % 2]}/{i}.png": png(value=i) for i in range(8)}
    outcome = take(zip_of(files), "a.zip")
    assert outcome.table["id"] == outcome.table["path"] == sorted(files)
    assert outcome.found.inferred.id == "file_name"


@pytest.mark.parametrize("form", ["parquet", "file"])
def test_an_image_of_a_table_is_called_by_its_path_where_paths_differ(take: Take, form: str) -> None:
    def images(path: Callable[[int], str | None]) -> pa.Table:
        pictures = [{"bytes": png(value=i), "path": path(i)} for i in range(6)]
        return pa.table({"image": pictures, "label": ["ab"[i % 2] for i in range(6)]})

    assert take(of(form, images(lambda i: f"p{i}.png")), "a.bin").table["id"] == [f"p{i}.png" for i in range(6)]
    for path in (lambda i: f"p{i % 3}.png", lambda i: None if i == 2 else f"p{i}.png", lambda _: None):
        assert take(of(form, images(path)), "a.bin").table["id"] == [f"row-{i}" for i in range(6)]


def test_numbers_of_a_type_of_their_own_are_counters_too(take: Take) -> None:
    draw = np.random.default_rng(3)
    labels = draw.choice(["x", "y"], ROWS)
    frame = pa.table({"at": np.arange(ROWS, dtype=np.int32), "width": draw.normal(size=ROWS), "label": labels})
    assert list(take(parquet(frame), "a.parquet").kinds) == ["width"]


def test_names_alone_are_learnt_from_where_the_client_says_so(take: Take) -> None:
    names = "name,language\n" + "".join(f"Anu{place}ka,{('fi', 'ru')[place % 2]}\n" for place in range(60))
    with pytest.raises(Invalid, match=r"name it in spec\.features"):
        take(names, label="language")
    assert take(names, label="language", features=["name"]).found.modality == "text"
