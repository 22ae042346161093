"""Single rows read back out of the canonical file."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from service.ingest import previews, rows, sample_media, sample_places, sample_row
from service.ingest.rows import previews_with_images, row_at
from service.store import fingerprints
from tests.unit.ingest.uploads import Take, csv_of, json_lines, npz_of, png, zip_of


def test_a_row_has_the_clients_names_and_values(take: Take) -> None:
    rows = [
        {
            "key": f"k{i}",
            "id": i % 3,
            "when": f"2024-01-0{i + 1}",
            "ok": i % 2 == 1,
            "label": "ab",
            "class": f"p{i % 2}",
        }
        | {"split": "test" if i else "train"}
        for i in range(6)
    ]
    outcome = take(json_lines(rows), "a.jsonl", label="class", id="key")
    assert sample_row(outcome.data, "k4") == {
        "id": "k4",
        "index": 4,
        "split": "test",
        "label": "p0",
        "features": {"id": 1.0, "when": "2024-01-05T00:00:00", "ok": False},
    }
    assert sample_row(outcome.data, "k9") is None
    assert sample_media(outcome.data, "k4") is None


def test_every_row_is_found_by_its_id_over_many_row_groups(take: Take) -> None:
    text = "x,target\n" + "".join(f"{i},{'pq'[i % 2]}\n" if i % 5 else "short\n" for i in range(9_000))
    own = take(text)
    assert pq.read_metadata(own.data).num_row_groups > 2
    for index in (1, 2_559, 2_561, 5_121, 8_999):
        row = sample_row(own.data, f"row-{index}")
        assert row is not None
        assert (row["index"], row["features"]) == (index, {"x": index})
    for unknown in ("row-0", "row-9000", "row-", "row-01", "x", "", "row-99999999999999999999"):
        assert sample_row(own.data, unknown) is None


@pytest.mark.parametrize("most", [sample_places.MOST_ROWS, 0])
def test_ids_in_no_order_are_found_over_many_row_groups(take: Take, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(rows, "_SEARCHED", 1)
    monkeypatch.setattr(sample_places, "MOST_ROWS", most)
    names = [f"{i * 7919 % 9_001:x}-é" for i in range(9_000)]  # a prime: no two are equal
    own = take("id,x,target\n" + "".join(f"{name},{i},{'pq'[i % 2]}\n" for i, name in enumerate(names)))
    for index in (0, 4_321, 8_999):
        row = sample_row(own.data, names[index])
        assert row is not None
        assert (row["id"], row["features"]["x"]) == (names[index], index)
    for unknown in (names[1][:-2], f"{names[1]}é", "", "row-1"):
        assert sample_row(own.data, unknown) is None


def test_an_id_is_not_taken_for_another_with_an_equal_hash(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_SEARCHED", 1)
    own = take("id,x,target\n" + "".join(f"n{i * 7919 % 9_001},{i},{'pq'[i % 2]}\n" for i in range(9_000)))
    monkeypatch.setattr(fingerprints, "of_texts", lambda texts: np.zeros(len(texts), np.uint64))
    row = sample_row(own.data, f"n{8_000 * 7919 % 9_001}")
    assert row is not None
    assert row["features"]["x"] == 8_000
    assert sample_row(own.data, "n9001") is None


def test_ids_that_look_like_ours_are_the_clients(take: Take) -> None:
    text = "id,x,target\n" + "".join(f"row-{4_999 - i},{i},{'pq'[i % 2]}\n" for i in range(5_000))
    row = sample_row(take(text).data, "row-4990")
    assert row is not None
    assert (row["index"], row["features"]["x"]) == (9, 9.0)


def test_previews_come_in_the_order_asked_for(take: Take) -> None:
    data = take(csv_of(5_000)).data
    found = previews(data, [4_999, 0, 2_048, 2_047, 0])
    assert [row["age"] for row in found] == [4_999, 0, 2_048, 2_047, 0]
    assert found[1] == {"age": 0, "colour": "red"}
    assert previews(data, []) == []
    for outside in (5_000, -1):
        with pytest.raises(IndexError):
            previews(data, [outside])


def test_previews_read_row_groups_together_up_to_so_many_bytes(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    data, asked = take(csv_of(5_000)).data, [4_999, 0, 2_048, 2_047, 0]
    read: list[list[int]] = []
    read_row_groups = pq.ParquetFile.read_row_groups

    def noted(file: pq.ParquetFile, groups: list[int], **options: Any) -> Any:
        read.append(groups)
        return read_row_groups(file, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    together = previews(data, asked)
    monkeypatch.setattr("service.ingest.rows._HELD_BYTES", 1)
    assert previews(data, asked) == together
    assert read == [[0, 1, 2], [0], [1], [2]]


def test_previews_count_positions_in_the_canonical_file(take: Take) -> None:
    outcome = take("x,target\n1,p\nbad\n2,q\n3,p\n")
    assert [row["x"] for row in previews(outcome.data, [0, 1, 2])] == [1, 2, 3]


def test_pictures_are_of_the_images_asked_for(take: Take) -> None:
    files = {f"{'ab'[i % 2]}/{i}.png": png(value=i) for i in range(4)}
    data = take(zip_of(files), "a.zip").data
    order = sorted(files)
    found = previews_with_images(data, [3, 0, 3], bytes)
    assert [picture for _, picture in found] == [files[order[place]] for place in (3, 0, 3)]
    assert [preview for preview, _ in found] == previews(data, [3, 0, 3])
    table = take(csv_of(9)).data
    assert previews_with_images(table, [1], bytes) == [(previews(table, [1])[0], None)]


def test_previews_of_wide_tables_are_short(take: Take) -> None:
    header = ",".join([*(f"c{i}" for i in range(20)), "target"])
    long = ["a" * 500, "b" * 500]
    rows = [",".join([*(f"{long[i % 2]}{j}" for j in range(20)), "pq"[i % 2]]) for i in range(6)]
    (row,) = previews(take("\n".join([header, *rows])).data, [1])
    assert list(row) == [f"c{i}" for i in range(8)]
    assert all(len(value) <= 60 for value in row.values())


def test_an_image_comes_back_as_its_own_bytes(take: Take) -> None:
    files = {"a/0.png": png((9, 4)), "b/1.jpg": png((8, 8), kind="JPEG"), "b/2.png": png()}
    data = take(zip_of(files), "a.zip").data
    assert sample_media(data, "a/0.png") == (files["a/0.png"], "image/png")
    assert sample_media(data, "b/1.jpg") == (files["b/1.jpg"], "image/jpeg")
    assert sample_media(data, "row-7") is None
    assert previews(data, [1, 0]) == [
        {"path": "b/1.jpg", "width": 8, "height": 8},
        {"path": "a/0.png", "width": 9, "height": 4},
    ]
    row = sample_row(data, "a/0.png")
    assert row is not None
    assert row["features"]["image"] == {
        "content_type": "image/png",
        "width": 9,
        "height": 4,
        "bytes": len(files["a/0.png"]),
        "path": "a/0.png",
    }


def test_an_image_without_a_name_is_previewed_by_its_id(take: Take) -> None:
    data = take(npz_of(x=[[[0, 255]], [[255, 0]]], y=[0, 1]), "a.npz").data
    assert previews(data, [1]) == [{"path": "row-1", "width": 2, "height": 1}]


def test_a_text_comes_back_whole_and_its_preview_short(take: Take) -> None:
    texts = [f"the örïginal text number {i} " + "and more " * 40 for i in range(4)]
    data = take(json_lines([{"body": t, "label": "ab"[i % 2]} for i, t in enumerate(texts)]), "a.jsonl").data
    media = sample_media(data, "row-2")
    assert media == (texts[2].encode(), "text/plain; charset=utf-8")
    assert previews(data, [2]) == [{"text": texts[2][:200]}]


def test_an_embedding_is_previewed_by_its_first_numbers(take: Take) -> None:
    rows = [{"v": [i, 1, 2, 3, 4, 5], "label": "ab"[i % 2]} for i in range(4)]
    data = take(json_lines(rows), "a.jsonl").data
    assert previews(data, [3]) == [{"v": [3, 1, 2, 3], "dimensions": 6}]


def test_reading_one_row_reads_one_group(take: Take, tmp_path: Path) -> None:
    """With the other groups' bytes destroyed the row is still there."""
    data = take(csv_of(9_000)).data
    metadata = pq.read_metadata(data)
    content = bytearray(data.read_bytes())
    for group in set(range(metadata.num_row_groups)) - {2}:
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(content)
    row = sample_row(broken, "row-5000")
    assert row is not None
    assert row["features"]["age"] == 5_000
    assert previews(broken, [5_000])[0]["age"] == 5_000


def test_a_row_is_the_same_by_its_place_as_by_its_id(take: Take) -> None:
    """Ids in an order of their own, so that any group may hold any of them."""
    rows = [f"k{(i * 7_919) % 9_000},{i},{'pq'[i % 2]}" for i in range(9_000)]
    data = take("\n".join(["id,age,target", *rows])).data
    for place in (0, 2_047, 2_048, 5_000, 8_999):
        row = row_at(data, place)
        assert row["id"] == rows[place].partition(",")[0]
        assert row["features"]["age"] == place
        assert row == sample_row(data, row["id"])
    assert sample_row(data, "k9000") is None
    with pytest.raises(IndexError):
        row_at(data, 9_000)
