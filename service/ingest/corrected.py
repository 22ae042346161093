"""Corrected canonical files: copies with some labels changed and some rows left out."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.dataset import WHITE_KEY, CanonicalHeader
from service.ingest.content_digest import ContentDigest
from service.ingest.labels import sorted_classes
from service.store.seal import open_parquet


@dataclass(frozen=True)
class Corrected:
    """Counts of a corrected file: its rows, and how many were relabelled and removed.

    `before` has the position in the upload and the class in the source of each sample that `correct` was asked about.
    """

    rows: int
    classes: list[str]
    class_counts: dict[str, int]
    splits: dict[str, int]
    relabelled: int
    removed: int
    content_digest: str
    before: dict[str, tuple[int, str]]


def correct(
    source: Path, target: Path, labels: Mapping[str, str], removed: Collection[str], seen: Collection[str] = ()
) -> Corrected:
    """Write `target`: the rows of `source` without the ids `removed`, with the new `labels` by sample id.

    Ids, positions in the upload and the order do not change. Classes keep their numbers, also those without a row; new
    classes come last. `seen` are ids that are looked up for `Corrected.before`, beside those that change.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    counts, splits = Counter[str](), Counter[str]()
    relabelled = gone = 0
    asked = {*labels, *removed, *seen}
    before: dict[str, tuple[int, str]] = {}
    with open_parquet(source) as file:
        header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
        classes = [*header.classes, *sorted_classes(set(labels.values()) - set(header.classes))]
        places = {name: place for place, name in enumerate(classes)}
        wanted = {sample_id: places[label] for sample_id, label in labels.items()}
        digest = ContentDigest({one["column"]: one["name"] for one in header.features})
        described = header.model_copy(update={"classes": classes}).to_metadata()
        schema = file.schema_arrow.with_metadata({**file.schema_arrow.metadata, **described})
        with pq.ParquetWriter(target, schema, **_storage(file)) as writer:
            for group in range(file.metadata.num_row_groups):
                rows = file.read_row_group(group)
                before |= _before(rows, asked, header.classes)
                table, changed = _changed(rows, wanted, removed)
                relabelled, gone = relabelled + changed, gone + file.metadata.row_group(group).num_rows - len(table)
                counts.update(classes[place] for place in table.column("label").to_pylist())
                splits.update(table.column("split").to_pylist())
                digest.add(table, classes, digest.inputs_of(table))
                if len(table):
                    writer.write_table(table.cast(schema), row_group_size=len(table))
            if WHITE_KEY in file.metadata.metadata:
                writer.add_key_value_metadata({WHITE_KEY.decode(): file.metadata.metadata[WHITE_KEY].decode()})
    return Corrected(
        rows=sum(splits.values()),
        classes=classes,
        class_counts={name: counts[name] for name in classes},
        splits=dict(sorted(splits.items())),
        relabelled=relabelled,
        removed=gone,
        content_digest=digest.hexdigest(),
        before=before,
    )


def _before(table: Any, asked: Collection[str], classes: Sequence[str]) -> dict[str, tuple[int, str]]:
    ids = table.column("id").to_pylist()
    places = [place for place, name in enumerate(ids) if name in asked]
    rows = table.select(["index", "label"]).take(pa.array(places, pa.int64())).to_pylist()
    return {ids[place]: (row["index"], classes[row["label"]]) for place, row in zip(places, rows, strict=True)}


def _changed(table: Any, wanted: Mapping[str, int], removed: Collection[str]) -> tuple[Any, int]:
    """The corrected rows of a group, and how many of their labels changed."""
    ids, labels = table.column("id").to_pylist(), table.column("label").to_pylist()
    new = [wanted.get(name, label) for name, label in zip(ids, labels, strict=True)]
    keep = np.fromiter((name not in removed for name in ids), bool, len(ids))
    place = table.schema.get_field_index("label")
    table = table.set_column(place, table.schema.field(place), pa.array(new, pa.int32()))
    return table.filter(pa.array(keep)), int(np.sum((np.asarray(new) != np.asarray(labels)) & keep))


def _storage(file: Any) -> dict[str, Any]:
    """Options of Parquet by which each column is compressed as in `file`."""
    packed: dict[str, str] = {}
    words: list[str] = []
    for group in range(min(1, file.metadata.num_row_groups)):
        columns = file.metadata.row_group(group)
        for column in map(columns.column, range(columns.num_columns)):
            packed[column.path_in_schema] = {"UNCOMPRESSED": "none"}.get(column.compression, column.compression.lower())
            if any("DICTIONARY" in encoding for encoding in column.encodings):
                words.append(column.path_in_schema)
    return {"compression": packed or "zstd", "use_dictionary": words, "write_statistics": ["index", "id"]}
