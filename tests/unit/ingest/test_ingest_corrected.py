"""A corrected file is the original but for what was asked."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from service.domain.dataset import DatasetSpec
from service.ingest.corrected import correct
from service.ingest.ingest import ingest
from service.ingest.limits import Limits
from service.ingest.rows import sample_media, sample_row
from tests.builders import CLASSES, dataset_info, image_zip, write_canonical

INFO = dataset_info(rows=54, splits={"train": 41, "test": 13})


@pytest.fixture
def original(tmp_path: Path) -> Path:
    write_canonical(tmp_path / "original.parquet", INFO)
    return tmp_path / "original.parquet"


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


def test_only_what_was_asked_for_changes(original: Path, tmp_path: Path) -> None:
    before, was = original.read_bytes(), rows(original)
    labels = {"row-0": "dog", "row-1": "dog", "row-45": "cat"}
    found = correct(original, tmp_path / "new.parquet", labels, {"row-3", "row-50"})
    expected = [
        row | {"label": CLASSES.index(labels.get(row["id"], CLASSES[row["label"]]))}
        for row in was
        if row["id"] not in ("row-3", "row-50")
    ]
    assert rows(tmp_path / "new.parquet") == expected
    assert original.read_bytes() == before
    # Row 1 is a dog already, and row 45 a cat.
    assert (found.rows, found.relabelled, found.removed) == (52, 1, 2)
    assert found.splits == {"test": 12, "train": 40}
    assert found.class_counts == {name: sum(row["label"] == i for row in expected) for i, name in enumerate(CLASSES)}
    assert [group.num_rows for group in map(pq.ParquetFile(tmp_path / "new.parquet").metadata.row_group, range(2))] == [
        4,
        5,
    ]


def test_the_file_is_stored_as_the_original(original: Path, tmp_path: Path) -> None:
    correct(original, tmp_path / "new.parquet", {}, ())
    old, new = (pq.ParquetFile(path) for path in (original, tmp_path / "new.parquet"))
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    for place in range(old.metadata.num_columns):
        was, now = (file.metadata.row_group(0).column(place) for file in (old, new))
        assert (was.compression, "RLE_DICTIONARY" in was.encodings) == (
            now.compression,
            "RLE_DICTIONARY" in now.encodings,
        )


def test_classes_keep_their_places_and_new_ones_come_last(original: Path, tmp_path: Path) -> None:
    cats = [row["id"] for row in rows(original) if row["label"] == 0]
    found = correct(original, tmp_path / "new.parquet", {"row-1": "ant"}, cats)
    assert found.classes == [*CLASSES, "ant"]
    assert (found.class_counts["cat"], found.class_counts["ant"]) == (0, 1)
    row = sample_row(tmp_path / "new.parquet", "row-1")
    assert row is not None
    assert row["label"] == "ant"


def test_a_group_of_which_nothing_is_left_is_gone(original: Path, tmp_path: Path) -> None:
    found = correct(original, tmp_path / "new.parquet", {}, {f"row-{i}" for i in range(5, 10)})
    assert found.rows == 49
    row = sample_row(tmp_path / "new.parquet", "row-10")
    assert row is not None
    assert row["index"] == 10


def test_images_stay_bit_by_bit(tmp_path: Path) -> None:
    names = ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    (tmp_path / "up").write_bytes(image_zip(names))
    old = tmp_path / "old.parquet"
    ingest(tmp_path / "up", "up.zip", DatasetSpec(id="file_name"), old, tmp_path / "skipped", Limits())
    correct(old, tmp_path / "new.parquet", {"a/1.png": "b"}, {"b/2.png"})
    for name in names[:3]:
        assert sample_media(tmp_path / "new.parquet", name) == sample_media(old, name)
    assert sample_media(tmp_path / "new.parquet", "b/2.png") is None


def test_new_classes_come_after_the_old_ones_in_the_order_of_numbers(original: Path, tmp_path: Path) -> None:
    labels = {"row-0": "10", "row-1": "9", "row-2": "100"}
    found = correct(original, tmp_path / "new.parquet", labels, ())
    assert found.classes == [*CLASSES, "9", "10", "100"]
