"""Archives of several tables: splits and shards of one, and tables that are none."""

import gzip
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.errors import Invalid
from tests.fuzz.quines import zip_quine
from tests.unit.ingest.uploads import Outcome, Take, csv_of, json_lines, npz_of, tar_of, zip_of


def parquet(rows: int, start: int = 0) -> bytes:
    """A small table as Parquet."""
    sink = pa.BufferOutputStream()
    numbers = range(start, start + rows)
    pq.write_table(pa.table({"age": list(numbers), "target": ["yn"[i % 2] for i in numbers]}), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def told(outcome: Outcome, code: str) -> str:
    """Details of the warnings with a code."""
    return " | ".join(one.detail for one in outcome.found.warnings if one.code == code)


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "test.csv", "validation.csv"),
        ("d/train/part.csv", "d/test/part.csv", "d/val/part.csv"),
        ("birds_train.csv", "birds_test.csv", "birds_dev.csv"),
        ("train.csv.gz", "test.csv.gz", "eval.csv.gz"),
    ],
)
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_tables_of_splits_are_one_dataset(take: Take, names: tuple[str, str, str], pack: type) -> None:
    contents = [csv_of(rows).encode() for rows in (20, 10, 6)]
    packed = [gzip.compress(one) if name.endswith("gz") else one for name, one in zip(names, contents, strict=True)]
    outcome = take(pack(dict(zip(names, packed, strict=True))), "a.bin")
    assert outcome.found.splits == {"train": 20, "test": 10, "validation": 6}
    assert (outcome.found.inferred.split, outcome.found.inferred.label) == ("split", "target")
    assert set(outcome.kinds) == {"age", "colour"}


def test_the_order_of_columns_may_differ(take: Take) -> None:
    turned = csv_of(10, header="target,colour,age", line="{t},{c},{i}").encode()
    outcome = take(zip_of({"train.csv": csv_of(10).encode(), "test.csv": turned}), "a.zip")
    assert outcome.found.rows == 20
    assert sorted(outcome.column("age")) == sorted([*range(10), *range(10)])


@pytest.mark.parametrize(
    "names",
    ["data-0000{}-of-00003.parquet", "part-{}.parquet", "year=202{}/part-0.parquet", "x/train-0000{}-of-00003.parquet"],
)
def test_shards_are_one_dataset(take: Take, names: str) -> None:
    files = {names.format(i): parquet(5, 5 * i) for i in range(3)}
    outcome = take(zip_of(files), "a.zip")
    assert sorted(outcome.column("age")) == list(range(15))
    assert outcome.found.splits == {"train": 15}


def test_lines_of_objects_may_be_parts(take: Take) -> None:
    rows = [{"a": i / 3, "b": i % 4, "label": "xy"[i % 2]} for i in range(12)]
    files = {
        "train.jsonl": json_lines(rows).encode(),
        "test.jsonl": json_lines([{**one, "note": "n"} for one in rows]).encode(),
    }
    outcome = take(zip_of({**files, "test.jsonl": json_lines(rows[:4]).encode()}), "a.zip")
    assert outcome.found.splits == {"train": 12, "test": 4}


def test_the_place_of_a_row_names_its_table(take: Take) -> None:
    broken = csv_of(10).encode() + b"too,many,fields,here\n"
    outcome = take(zip_of({"train.csv": broken, "test.csv": csv_of(4).encode() + b"few\n"}), "a.zip")
    assert [(row.where, row.index) for row in outcome.skipped] == [("test.csv line 6", 4), ("train.csv line 12", 15)]


def test_a_table_that_lacks_the_label_is_left_out_and_told(take: Take) -> None:
    unlabelled = csv_of(10, header="age,colour", line="{i},{c}").encode()
    answers = b"row,target\n1,yes\n2,yes\n"
    files = {
        "train.csv": csv_of(20).encode(),
        "test.csv": unlabelled,
        "sample_submission.csv": answers,
        "shops.csv": b"x,y\n1,2\n",
    }
    outcome = take(zip_of(files), "a.zip")
    assert outcome.found.rows == 20
    details = told(outcome, "table_left_out")
    assert "test.csv was left out: it lacks the columns target of train.csv" in details
    assert "sample_submission.csv" in details
    assert "shops.csv" in details


def test_what_lies_beside_a_table_is_told(take: Take) -> None:
    outcome = take(zip_of({"labels.csv": csv_of(8).encode(), "pictures.zip": zip_of({}), "README": b"x"}), "a.zip")
    assert "2 files beside the table are not read: README, pictures.zip" in told(outcome, "ignored_files")


def test_parts_that_disagree_without_one_for_training_are_refused(take: Take) -> None:
    files = {"data_1.csv": csv_of(5).encode(), "data_2.csv": b"age,size,target\n1,2,yes\n"}
    with pytest.raises(Invalid, match=r"data_1\.csv and data_2\.csv are no parts of one: it lacks the columns colour"):
        take(zip_of(files), "a.zip")


@pytest.mark.parametrize(
    "names", [("fir.csv", "elm.csv"), ("X_train.csv", "y_train.csv"), ("class_0.csv", "class_1.csv")]
)
def test_tables_that_may_mean_anything_are_refused_by_name(take: Take, names: tuple[str, str]) -> None:
    with pytest.raises(Invalid) as raised:
        take(zip_of({name: csv_of(6).encode() for name in names}), "a.zip")
    assert all(name in str(raised.value) for name in names)


def test_arrays_of_predictions_are_no_parts(take: Take) -> None:
    content = npz_of(labels=[0, 1, 0, 1], pred_probs=[[0.9, 0.1]] * 4)
    with pytest.raises(Invalid, match="upload it by itself"):
        take(zip_of({"train.npz": content, "test.npz": content}), "a.zip")


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_an_archive_in_an_archive_is_not_opened(take: Take, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    inner = pack({"tables.csv": csv_of(6).encode()})
    for content in (
        zip_of({"tables.csv": inner}),
        tar_of({"tables.csv.gz": gzip.compress(inner)}),
        zip_quine("tables.csv"),
    ):
        with pytest.raises(Invalid, match="is an archive in an archive; unpack it first"):
            take(content, "a.zip")
