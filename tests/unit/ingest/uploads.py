"""What the ingest tests upload, and what they see of the outcome."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from service.domain.dataset import METADATA_KEY, CanonicalHeader, SkippedRow
from service.ingest import Ingested
from service.ingest.votes import read_votes
from service.store.blobs import VOTES_FILE


@dataclass(frozen=True)
class Outcome:
    """What was ingested, beside the files themselves."""

    found: Ingested
    data: Path
    skipped: list[SkippedRow]

    @property
    def table(self) -> dict[str, list[Any]]:
        """The canonical file's columns."""
        columns: dict[str, list[Any]] = pq.read_table(self.data).to_pydict()
        return columns

    @property
    def header(self) -> CanonicalHeader:
        """What the canonical file says of itself."""
        return CanonicalHeader.model_validate(json.loads(pq.read_schema(self.data).metadata[METADATA_KEY]))

    @property
    def labels(self) -> list[str]:
        """The class of each row."""
        classes = self.header.classes
        return [classes[code] for code in self.table["label"]]

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each feature."""
        return {feature.name: feature.kind for feature in self.found.features}

    @property
    def votes(self) -> set[tuple[int, str, str]]:
        """Position in the upload, annotator and label of each vote; empty where the file of votes is not there."""
        found = read_votes(self.data.with_name(VOTES_FILE))
        if found is None:
            return set()
        who, said = (found.annotators[place] for place in found.annotator), (found.labels[one] for one in found.label)
        return set(zip(found.index.tolist(), who, said, strict=True))

    @property
    def codes(self) -> set[str]:
        """The codes of the warnings."""
        return {warning.code for warning in self.found.warnings}

    def column(self, name: str) -> list[Any]:
        """A feature's canonical values, by the client's name."""
        column = next(feature.column for feature in self.found.features if feature.name == name)
        return self.table[column]


Take = Callable[..., Outcome]


def check_agreement(outcome: Outcome) -> None:
    """What must hold of every ingested file."""
    found, table = outcome.found, outcome.table
    assert found.rows == len(table["index"]) == sum(found.class_counts.values()) == sum(found.splits.values())
    assert found.skipped_rows == len(outcome.skipped)
    assert found.classes == list(found.class_counts) == outcome.header.classes
    # A column of logits or probabilities is a class, whoever has it.
    assert all(found.class_counts.values()) or found.modality in ("trace", "predictions")
    assert Counter(outcome.labels) == Counter(found.class_counts)
    assert sorted(table["index"] + [row.index for row in outcome.skipped]) == list(
        range(found.rows + found.skipped_rows)
    )
    assert table["index"] == sorted(table["index"])
    assert len(set(table["id"])) == found.rows
    assert [feature["column"] for feature in outcome.header.features] == [feature.column for feature in found.features]
    metadata = pq.read_metadata(outcome.data)
    groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert max(groups) <= 2048
    if pq.read_table(outcome.data).nbytes < 8 * 2**20:  # long values make groups of fewer rows
        assert all(rows == 2048 for rows in groups[:-1])


def csv_of(rows: int, *, header: str = "age,colour,target", line: str = "{i},{c},{t}") -> str:
    """A small table: a number, a word, a class."""
    words, classes = ("red", "green", "blue"), ("yes", "no")
    lines = [line.format(i=i, c=words[i % 3], t=classes[i % 2]) for i in range(rows)]
    return "\n".join([header, *lines]) + "\n"


def png(size: tuple[int, int] = (6, 5), mode: str = "RGB", value: int = 7, kind: str = "PNG") -> bytes:
    """An encoded image of one colour."""
    colour: Any = value if mode in ("L", "P", "I;16") else (value,) * len(mode)
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A ZIP with these members, whatever their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar_of(files: Mapping[str, bytes], *, packed: bool = False) -> bytes:
    """A TAR, or a .tar.gz, with these members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(file.getvalue()) if packed else file.getvalue()


def npz_of(**arrays: Any) -> bytes:
    """An NPZ as numpy writes it."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def json_lines(rows: Sequence[Any]) -> str:
    """One JSON value a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows_as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a CSV; None is an empty cell."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def rows_as_json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
