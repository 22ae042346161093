"""Files as people have them: odd dates, keys of databases, stray quotes, folders that are not all alike."""

import io
import json
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.errors import Invalid, UnreadableType
from service.ingest import Limits
from service.ingest.images import look_at
from tests.unit.ingest.uploads import Take, csv_of, png, zip_of

CLASSES = ["cat", "dog"] * 10


def parquet_of(metadata: dict[str, str] | None = None, **columns: Any) -> bytes:
    file = io.BytesIO()
    table = pa.table({**columns, "label": CLASSES})
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, file)
    return file.getvalue()


def years(values: list[Any]) -> list[int | None]:
    return [None if value is None else value.year for value in values]


@pytest.mark.parametrize("form", ["{d}/{m}/{y}", "{m}/{d}/{y}", "{d}.{m}.{y}", "{d}-{m}-{y}", "{d}-Mar-{y}"])
def test_years_of_two_digits_are_of_these_centuries(take: Take, form: str) -> None:
    short = ["98", "99", "00", "01"] * 5
    lines = [f"{form.format(d=13 + row % 5, m='03', y=year)},{CLASSES[row]}" for row, year in enumerate(short)]
    outcome = take("when,label\n" + "\n".join(lines) + "\n")
    assert outcome.kinds == {"when": "datetime"}
    assert years(outcome.column("when"))[:4] == [1998, 1999, 2000, 2001]


def test_moments_that_no_calendar_has_are_missing(take: Take) -> None:
    seconds = [0, 253402300800, -62135596801, 86400] * 5  # the year 10000, and the one before the first
    moments = pa.array(seconds, pa.timestamp("s"))
    assert years(take(parquet_of(when=moments), "a.parquet").column("when"))[:4] == [1970, None, None, 1970]
    text = "when,label\n" + "".join(f"{'3/3/0000' if row % 4 else '3/4/1999'},{CLASSES[row]}\n" for row in range(20))
    assert take(text).kinds == {"when": "categorical"}


def test_a_folder_of_unlabelled_images_does_not_make_classes_of_the_splits(take: Take) -> None:
    labelled = {f"train/{label}/{row}.png": png(value=row) for row, label in enumerate(CLASSES)}
    flat = {f"test/{row}.png": png(value=100 + row) for row in range(5)}
    outcome = take(zip_of({**labelled, **flat, "train/overview.png": png(value=200)}), "a.zip")
    assert (outcome.found.classes, outcome.found.splits) == (["cat", "dog"], {"train": 20})
    assert len(outcome.skipped) == 6
    assert all("class folder" in one.reason for one in outcome.skipped)


@pytest.mark.parametrize("modality", ["trace", "predictions"])
def test_a_table_is_no_recording_whatever_is_said(take: Take, modality: str) -> None:
    with pytest.raises(Invalid, match=f"{modality} is read from safetensors or NPZ"):
        take(csv_of(20), modality=modality)


def test_keys_of_databases_are_ids(take: Take) -> None:
    keys = [UUID(int=2**100 + row) for row in range(20)]
    numbers = list(map(float, range(20)))
    for column in (
        pa.array([key.bytes for key in keys], pa.binary(16)),
        pa.array([key.bytes for key in keys], pa.uuid()),
    ):
        outcome = take(parquet_of(id=column, a=numbers), "a.parquet")
        assert outcome.table["id"] == [str(key) for key in keys]


def test_tasks_whose_data_has_an_id_of_its_own_must_still_have_ids_that_differ(take: Take) -> None:
    def tasks(step: int) -> str:
        found = []
        for row, label in enumerate(CLASSES):
            result = [{"from_name": "l", "to_name": "t", "type": "choices", "value": {"choices": [label]}}]
            data = {"id": row, "text": f"words of a text {row}"}
            found.append({"id": row // step, "data": data, "annotations": [{"id": row, "result": result}]})
        return json.dumps(found)

    assert take(tasks(1), "export.json").found.rows == 20
    with pytest.raises(Invalid, match="ids must be unique"):
        take(tasks(2), "export.json")


def test_a_stray_quote_swallows_no_rows(take: Take) -> None:
    lines = [f"hello there you {row}\t{label}" for row, label in enumerate(CLASSES)]
    lines[3], lines[9] = f'"{lines[3]}', f'"{lines[9]}'
    outcome = take("text\tlabel\n" + "\n".join(lines) + "\n", "a.tsv")
    assert (outcome.found.rows, outcome.table["text"][3]) == (20, '"hello there you 3')
    assert "2 rows" in next(one.detail for one in outcome.found.warnings if one.code == "stray_quotes")
    lines[9] = f'{lines[9][1:].split(chr(9))[0]}"\t{CLASSES[9]}'
    (told,) = take("text\tlabel\n" + "\n".join(lines) + "\n", "a.tsv").skipped
    assert (told.where, "goes on to line 11" in told.reason) == ("line 5", True)
    quoted = [f'"one line\nand another {row}"\t{label}' for row, label in enumerate(CLASSES)]
    assert take("text\tlabel\n" + "\n".join(quoted) + "\n", "a.tsv").skipped == []


def test_a_column_that_is_said_to_be_images_goes_before_other_bytes(take: Take) -> None:
    images = pa.array([{"bytes": png(value=row), "path": f"{row}.png"} for row in range(20)])
    said = {"info": {"features": {"image": {"_type": "Image"}}}}
    content = parquet_of(
        {"huggingface": json.dumps(said)}, sha=pa.array([bytes([row]) * 5 for row in range(20)]), image=images
    )
    outcome = take(content, "a.parquet")
    assert (outcome.found.modality, outcome.found.rows) == ("image", 20)


def test_what_is_no_image_is_called_so() -> None:
    assert "not an image" in look_at(b"<html>not found</html>", Limits()).fault


def test_a_first_line_that_may_be_data_is_told(take: Take) -> None:
    lines = "".join(f"{20 + row},Gov,{'>50K' if row % 3 else '<=50K'}\n" for row in range(1, 30))
    assert "header_looks_like_data" in take(lines).codes
    assert "header_looks_like_data" not in take("age,sector,income\n" + lines).codes


def test_a_metadata_row_that_names_no_file_is_told(take: Take) -> None:
    files = {f"{row}.png": png(value=row) for row in range(20)}
    rows: list[dict[str, Any]] = [{"file_name": f"{row}.png", "label": label} for row, label in enumerate(CLASSES)]
    content = "\n".join(map(json.dumps, [*rows, {"file_name": [0], "label": "cat"}]))
    outcome = take(zip_of({**files, "metadata.jsonl": content.encode()}), "a.zip")
    assert (outcome.found.rows, len(outcome.skipped)) == (20, 1)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128) + bytes(64), "It is a MATLAB file; load it with"),
        (b"\0\0\x08\x03\0\0\0\x05" + bytes(64), "It is IDX"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "It is an HTML page"),
        (zip_of({"inner.zip": zip_of({"a/1.png": b"x"})}), "inner.zip is an archive or packed itself; unpack it first"),
        (zip_of({"batches/data_1": b"\x80\x04K\x01."}), "data_1 is a pickle"),
        (zip_of({"mimetype": b"application/vnd.oasis", "content.xml": b"<x/>"}), "a document of an office program"),
    ],
)
def test_what_no_reader_takes_is_called_by_its_name(take: Take, content: bytes, what: str) -> None:
    with pytest.raises(UnreadableType, match=what):
        take(content, "upload.csv")
