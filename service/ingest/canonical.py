"""Second pass over an upload: every row is written to the canonical file, or to the list of skipped rows with a reason."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.domain.dataset import WHITE_KEY, CanonicalHeader, SkippedRow
from service.ingest import values
from service.ingest.content_digest import ContentDigest
from service.ingest.images import Appearance, Depth, Look
from service.ingest.inputs import RowFaults, convert, is_plain
from service.ingest.kinds import Input
from service.ingest.limits import Limits
from service.ingest.roles import Plan
from service.ingest.source import Batch, RowSource
from service.ingest.votes import SCHEMA as VOTES_SCHEMA
from service.ingest.votes import VoteFile, renamed
from service.store import fingerprints, text_bytes
from service.store.fingerprints import Fingerprints

GROUP_ROWS = 2_048
_GROUP_BYTES = 8 * 2**20  # one image or a few rows are read with the whole group
_OWN_COLUMNS = (("index", pa.int64()), ("id", pa.string()), ("label", pa.int32()), ("split", pa.string()))
_TYPES = {
    "numeric": pa.float64(),
    "categorical": pa.string(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
    "text": pa.string(),
    "image": pa.binary(),
}
PATH, GROUP = "path", "group"
_NO_CLASS = -1


@dataclass
class WriteCounts:
    """Counts over the rows that were written and skipped.

    `spaced_labels` counts classes of rows with spaces around them, `repeated` rows that repeat an earlier one. `content_digest` is that of
    the samples, see `ContentDigest`.
    """

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    first_skipped: SkippedRow | None = None
    spaced_labels: int = 0
    repeated: int = 0
    content_digest: str = ""
    depth: Depth = field(default_factory=Depth)
    appearance: Appearance = field(default_factory=Appearance)


def schema_of(plan: Plan) -> Any:
    """The canonical file's schema; `path` is there for images whose upload names their files."""
    fields = [pa.field(name, kind) for name, kind in _OWN_COLUMNS]
    if plan.group is not None:
        fields.append(pa.field(GROUP, pa.string()))
    fields += [pa.field(one.column, _type(one)) for one in plan.inputs]
    if plan.path is not None:
        fields.append(pa.field(PATH, pa.string()))
    features = [{"name": one.name, "kind": one.kind, "column": one.column} for one in plan.inputs]
    header = CanonicalHeader(
        modality=plan.modality,
        classes=list(plan.classes),
        features=features,
        recording=None if plan.stated is None else plan.stated.recording,
    )
    return pa.schema(fields, metadata=header.to_metadata())


def _type(one: Input) -> Any:
    return pa.list_(pa.float32(), one.width) if one.kind == "embedding" else _TYPES[one.kind]


def write_canonical(
    source: RowSource, plan: Plan, data: Path, skipped: Path, votes: Path, limits: Limits
) -> WriteCounts:
    """Read the source again and write the canonical file `data` and the list `skipped`, in the order of the source.

    Where it says who gave the labels, `votes` is written, too.
    """
    written = WriteCounts()
    digest = ContentDigest({one.column: one.name for one in plan.inputs})
    with (
        Fingerprints(data.with_suffix(".prints")) as prints,
        skipped.open("w", encoding="utf-8") as skips,
        VoteFile(votes) as who,
        pq.ParquetWriter(data, schema_of(plan), **_storage(plan)) as writer,
    ):
        for group in _groups(_known(_converted(source, plan, limits, written, skips, who), plan, digest, prints)):
            writer.write_table(group, row_group_size=GROUP_ROWS)
        if written.depth.white is not None:
            writer.add_key_value_metadata({WHITE_KEY.decode(): str(written.depth.white)})
        written.repeated = prints.repeats()
    written.content_digest = digest.hexdigest()
    return written


def _known(tables: Iterator[Any], plan: Plan, digest: ContentDigest, prints: Fingerprints) -> Iterator[Any]:
    """The tables, of whose rows digest and fingerprints take note."""
    for table in tables:
        inputs = digest.inputs_of(table)
        labels = fingerprints.of_column(table.column("label").combine_chunks())
        prints.add(fingerprints.mixed(inputs * np.uint64(31) + labels))  # by which two rows are equal: label and inputs
        digest.add(table, plan.classes, inputs)
        yield table


def _storage(plan: Plan) -> dict[str, Any]:
    """Options of Parquet. Texts and vectors are packed by Zstandard, which takes twice as long as LZ4 and makes numbers only a fifth smaller.

    Images are compressed already. Dictionaries are for categories only.
    """
    words = ["split", *(one.column for one in plan.inputs if one.kind == "categorical")]
    names = [name for name, _ in _OWN_COLUMNS] + [one.column for one in plan.inputs] + [PATH, GROUP]
    quick = {one.column for one in plan.inputs if one.kind not in {"text", "embedding", "image"}}
    quick |= {"index", "label", "split"}
    packed = {name: "none" if name == "image" else "lz4" if name in quick else "zstd" for name in names}
    packed |= {f"{one.column}.list.element": "zstd" for one in plan.inputs if one.kind == "embedding"}
    return {"compression": packed, "use_dictionary": words, "write_statistics": ["index", "id"]}


def _groups(tables: Iterator[Any]) -> Iterator[Any]:
    """Join and cut tables into row groups of at most `GROUP_ROWS` rows and about 8 MiB."""
    held: list[Any] = []
    rows = size = 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            part = table.slice(start, GROUP_ROWS - rows)
            held.append(part)
            start, rows, size = start + part.num_rows, rows + part.num_rows, size + part.nbytes
            if rows == GROUP_ROWS or size > _GROUP_BYTES:
                yield pa.concat_tables(held).combine_chunks()
                held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _converted(
    source: RowSource, plan: Plan, limits: Limits, written: WriteCounts, skips: IO[str], who: VoteFile
) -> Iterator[Any]:
    schema = schema_of(plan)
    if source.numbers is not None:
        others = {plan.label, plan.id, plan.split, plan.group, plan.annotator, plan.path}
        source.numbers.update({one.name for one in plan.inputs if is_plain(one, plan.words)} - others)
    for batch in source.batches(True):
        faults, looks = RowFaults(batch.rows.num_rows), dict[int, Look]()
        columns = _columns(batch, plan, limits, faults, looks, written)
        kept = faults.kept()
        table = pa.table(columns, schema=schema)
        table = table.filter(kept) if faults else table
        who.add(_votes(batch, plan, kept, table))
        for skip in sorted([*batch.skipped, *_skipped_rows(faults, batch)], key=lambda row: row.index):
            skips.write(skip.model_dump_json() + "\n")
            written.skipped += 1
            written.first_skipped = written.first_skipped or skip
        written.rows += table.num_rows
        for pair in pc.value_counts(table.column("label")).to_pylist():
            written.labels[plan.classes[pair["values"]]] += pair["counts"]
        for pair in pc.value_counts(table.column("split")).to_pylist():
            written.splits[pair["values"]] += pair["counts"]
        if plan.modality == "image":
            for position in np.flatnonzero(kept).tolist():
                written.depth.add(looks[position])
                written.appearance.add(looks[position], columns["image"][position].as_py)
        if table.num_rows:
            yield table


def _votes(batch: Batch, plan: Plan, kept: Any, table: Any) -> Any:
    """Who gave which label in a batch, of which `table` has the rows that are `kept`."""
    if batch.votes is not None:
        return renamed(batch.votes, plan.class_names)
    if plan.annotator is None:
        return VOTES_SCHEMA.empty_table()
    names = plan.words.without(values.as_text(_column(batch, plan.annotator))).filter(kept)
    labels = pa.array(plan.classes, pa.string()).take(table.column("label").combine_chunks())
    votes = pa.table([table.column("index"), names, labels], schema=VOTES_SCHEMA)
    return votes.filter(names.is_valid())


def _skipped_rows(faults: RowFaults, batch: Batch) -> Iterator[SkippedRow]:
    for position, reason in faults:
        yield SkippedRow(index=int(batch.index[position]), where=batch.where(position), reason=reason)


def _columns(
    batch: Batch, plan: Plan, limits: Limits, faults: RowFaults, looks: dict[int, Look], written: WriteCounts
) -> dict[str, Any]:
    """The canonical columns of all rows of a batch, also of those with a fault."""
    columns = {
        "index": pa.array(batch.index, pa.int64()),
        "label": _labels(_column(batch, plan.label), plan, faults, written),
        "id": _ids(batch, plan, faults),
        "split": _splits(batch, plan),
    }
    if plan.group is not None:
        columns[GROUP] = plan.words.without(values.as_text(_column(batch, plan.group)))
    for one in plan.inputs:
        columns[one.column] = convert(_column(batch, one.name), one, plan.words, limits, faults, looks)
    if plan.path is not None:
        columns[PATH] = values.as_text(_column(batch, plan.path))
    return columns


def _column(batch: Batch, name: str) -> Any:
    """A column by its name in the upload; JSON lines may lack it in a batch."""
    place = batch.rows.schema.get_field_index(name)
    if place >= 0:
        return batch.rows.column(place)
    return pa.nulls(batch.rows.num_rows, pa.string())


def _labels(column: Any, plan: Plan, faults: RowFaults, written: WriteCounts) -> Any:
    texts = values.as_text(column)
    codes = texts.dictionary_encode()
    numbers = {name: number for number, name in enumerate(plan.classes)}
    names = [plan.class_names.get(text) for text in codes.dictionary.to_pylist()]
    # A class that no row has any more is left out of the classes: see `ingest`.
    known = np.array([*(_NO_CLASS if name is None else numbers.get(name, 0) for name in names), _NO_CLASS], np.int32)
    labels = known[codes.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)]
    faults.mark(np.flatnonzero(labels == _NO_CLASS), "no label")
    if pa.types.is_string(column.type) and not text_bytes.is_trimmed(column):
        spaced = pc.fill_null(pc.not_equal(column, texts), False).to_numpy(zero_copy_only=False)
        written.spaced_labels += int(np.count_nonzero(spaced & (labels != _NO_CLASS)))
    return pa.array(np.maximum(labels, 0))


def _ids(batch: Batch, plan: Plan, faults: RowFaults) -> Any:
    if plan.id is None:
        return pc.binary_join_element_wise("row-", pc.cast(pa.array(batch.index), pa.string()), "")
    texts = values.without(values.as_text(_column(batch, plan.id)), ("",))
    faults.where(texts.is_null(), "no id")
    return texts


def _splits(batch: Batch, plan: Plan) -> Any:
    if plan.split is None:
        return pa.repeat(pa.scalar("train"), batch.rows.num_rows)
    texts = plan.words.without(values.as_text(_column(batch, plan.split)))
    codes = pc.fill_null(texts, "train").dictionary_encode()
    names = [values.split_name(text) or text for text in codes.dictionary.to_pylist()]
    return pc.take(pa.array(names, pa.string()), codes.indices)
