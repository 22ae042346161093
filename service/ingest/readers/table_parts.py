"""Tables in an archive without images: one table, or parts of one, such as splits and shards."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from service.domain.dataset import ClientWarning
from service.domain.errors import Invalid
from service.ingest.faults import invalid, listed
from service.ingest.readers.inner_tables import InnerTables, is_submission, left_out
from service.ingest.readers.labelled_list import split_of_path
from service.ingest.readers.listing import Member
from service.ingest.source import Batch, RowSource, Upload, free_name
from service.ingest.values import split_name

_SHARD = re.compile(r"\d+|\bof\b|\b(part|shard|chunk|batch|fold|data|split)\b")
_PARTITION = re.compile(r"(?<![^/=])[^/=]++=[^/]*")  # a folder of Hive's: year=2020
_CLASS_WORDS = ("class", "label", "category", "type", "cluster")


@dataclass(frozen=True)
class TablePart:
    """One table: its columns, and those of them that have a value in each of the first rows."""

    path: str
    source: RowSource
    columns: frozenset[str]
    required: frozenset[str]

    @property
    def split(self) -> str | None:
        """The split that its name or its folder says."""
        return split_of_path(self.path)


def open_tables(kind: str, tables: InnerTables, images: Sequence[Member] = ()) -> RowSource:
    """Read the one table in an archive, or those that are parts of one; `images` beside them are left out.

    Raises `Invalid` where there is none, or where it is unclear which of them is meant.
    """
    members = tables.members()
    if not members or any(one.fault for one in members):
        raise _unclear(tables)
    warnings: list[ClientWarning] = list(tables.listing.warnings)
    warnings += _ignored(tables.listing.members, members, images)
    known = [one for one in members if not is_submission(one.path)] or members
    chosen = _main(known, tables)
    paths = {one.path for one in chosen}
    for one in members:
        if one.path not in paths:
            why = f"by its name it is no part of the table {chosen[0].path}; upload it by itself if it is meant"
            form = "by its name it is a form for answers, whose labels mean nothing"
            warnings.append(left_out(one.path, form if is_submission(one.path) else why))
    uploads = tables.unpacked(chosen)
    if len(chosen) == 1:
        source = tables.open(uploads[0])
    else:
        parts, odd = _agreeing([_part(one, tables.open, file) for one, file in zip(chosen, uploads, strict=True)])
        warnings += odd
        source = _joined(parts) if len(parts) > 1 else parts[0].source
    return replace(source, format=f"{source.format}, in {kind}", warnings=(*source.warnings, *warnings))


def _ignored(
    all_members: Sequence[Member], tables: Sequence[Member], images: Sequence[Member]
) -> Iterator[ClientWarning]:
    read = {one.path for one in tables}
    others = [one.path for one in all_members if one.path not in read]
    if others:
        shown = f", {len(images)} of them images" if images else ""
        yield ClientWarning(
            code="ignored_files", detail=f"{len(others)} files beside the table are not read{shown}: {listed(others)}"
        )


def _unclear(tables: InnerTables) -> Invalid:
    names = [one.path for one in tables.listing.members]
    found = f"it has {listed(names)}" if names else "it is empty"
    return invalid(
        f"an archive must hold images, or exactly one table ({', '.join(tables.endings)}), or tables that are parts of one by their "
        f"names, such as train.csv and test.csv; {found}"
    )


def _main(members: Sequence[Member], tables: InnerTables) -> list[Member]:
    """The tables that are one by their names: all, or those of which one is for training."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for one in members:
        groups[_name_without_part(one.path)].append(one)
    if len(groups) > 1:
        groups = {
            name: group for name, group in groups.items() if any(split_of_path(one.path) == "train" for one in group)
        }
    if len(groups) != 1:
        raise _unclear(tables)
    name, group = next(iter(groups.items()))
    if len(group) > 1 and name.split(" ")[-1] in _CLASS_WORDS:
        raise invalid(
            f"the tables {listed([one.path for one in group])} may be one class each; upload one table with the class as a column"
        )
    return group


def _name_without_part(path: str) -> str:
    """The path of a table without its ending and all that says which split or shard of a table it is."""
    *folders, name = path.lower().removesuffix(".gz").split("/")
    stem = name.rpartition(".")[0] or name
    words = [word for part in (*folders, stem) for word in re.split(r"[\W_]+", _PARTITION.sub("", part))]
    kept = (word for word in words if split_name(word) is None)
    return " ".join(filter(None, (_SHARD.sub("", word) for word in kept)))


def _part(member: Member, open_table: Callable[[Upload], RowSource], upload: Upload) -> TablePart:
    try:
        source = open_table(upload)
    except Invalid as error:
        raise invalid(f"{member.path}: {error}", member.path) from error
    if source.stated is not None:
        raise invalid(f"{member.path} is {source.format}; upload it by itself", member.path)
    first = next(source.batches(False), None)
    found = frozenset() if first is None else frozenset(first.rows.schema.names)
    if first is None or source.columns is not None:
        every = frozenset(source.columns or ()) - {source.image, source.path}
        return TablePart(member.path, source, every, every)
    rows = first.rows
    full = (name for name, column in zip(rows.schema.names, rows.columns, strict=True) if not column.null_count)
    return TablePart(member.path, source, found, frozenset(full))


def _agreeing(parts: Sequence[TablePart]) -> tuple[list[TablePart], list[ClientWarning]]:
    """The parts with the columns of the first one, or of the one for training; and warnings of the others."""
    main = next((one for one in parts if one.split == "train"), parts[0])
    odd = {one.path: _difference(main, one) for one in parts}
    if any(odd.values()) and main.split != "train":
        path, why = next((path, why) for path, why in odd.items() if why)
        raise invalid(
            f"the tables {main.path} and {path} are no parts of one: {why}; upload one of them, or give both the same columns"
        )
    warnings = [left_out(path, why) for path, why in odd.items() if why]
    return [one for one in parts if not odd[one.path]], warnings


def _difference(main: TablePart, one: TablePart) -> str:
    """Why a table is no part of the same; empty if it is one."""
    lacking, more = sorted(main.required - one.columns), sorted(one.required - main.columns)
    told = []
    if lacking:
        told.append(f"it lacks the columns {listed(lacking)} of {main.path}")
    if more:
        told.append(f"it has the columns {listed(more)}, which {main.path} lacks")
    return ", and ".join(told)


def _joined(parts: Sequence[TablePart]) -> RowSource:
    """One table of all parts, with a column of splits where all names say one."""
    first = parts[0].source
    by_part = [one.split for one in parts]
    names = {name for one in parts for name in one.columns}
    splits = free_name("split", names) if all(by_part) and len(set(by_part)) > 1 else None
    labels, images, paths = ({getattr(one.source, role) for one in parts} for role in ("label", "image", "path"))
    delimiters = {one.source.delimiter for one in parts}
    columns = None if first.columns is None else ((splits, *first.columns) if splits else first.columns)
    return replace(
        first,
        format=f"{len(parts)} tables of {first.format}",
        batches=_batches(parts, splits),
        columns=columns,
        label=first.label if len(labels) == 1 else None,
        split=splits if splits is not None else first.split,
        image=first.image if len(images) == 1 else None,
        path=first.path if len(paths) == 1 else None,
        null_words=any(one.source.null_words for one in parts),
        delimiter=delimiters.pop() if len(delimiters) == 1 else "",
        warnings=tuple(_of_part(one, warning) for one in parts for warning in one.source.warnings),
        counted=lambda: tuple(_of_part(one, warning) for one in parts for warning in one.source.counted()),
    )


def _of_part(one: TablePart, warning: ClientWarning) -> ClientWarning:
    return warning.model_copy(update={"detail": f"{one.path}: {warning.detail}"})


def _batches(parts: Sequence[TablePart], splits: str | None) -> Callable[[bool], Iterator[Batch]]:
    def read(media: bool) -> Iterator[Batch]:
        start = 0
        for one in parts:
            last = -1
            for batch in one.source.batches(media):
                places = [last, *(row.index for row in batch.skipped), *batch.index[-1:].tolist()]
                last = max(places)
                yield _shifted(batch, one, start, splits)
            start += last + 1

    return read


def _shifted(batch: Batch, one: TablePart, start: int, splits: str | None) -> Batch:
    """A batch of a part as one of the whole."""
    rows = batch.rows
    if splits is not None:
        said = pa.array([one.split] * rows.num_rows, pa.string())
        rows = pa.RecordBatch.from_arrays([said, *rows.columns], names=[splits, *rows.schema.names])
    return Batch(
        rows=rows,
        index=batch.index + start,
        where=lambda position: f"{one.path} {batch.where(position)}",
        skipped=tuple(
            row.model_copy(update={"index": row.index + start, "where": f"{one.path} {row.where}"})
            for row in batch.skipped
        ),
    )
