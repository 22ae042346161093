"""Exports of labelling tools. Their own ids are kept; records that are no sample are skipped with a reason."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from service.domain.dataset import SkippedRow
from service.ingest.faults import invalid, malformed
from service.ingest.readers.documents import Opened, tool_file
from service.ingest.readers.image_kinds import images_in
from service.ingest.readers.json_lines import as_column
from service.ingest.readers.listing import Listing, Member, OpenMember, unpack
from service.ingest.readers.pictures import ArchiveImages, contents, inline, is_inline
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, RowSource, Upload, free_name
from service.ingest.votes import table_of
from service.platforms.annotations import Vote
from service.platforms.files import SHAPE, SkippedRecord, ToolSample, ToolTable

_ENDINGS = (".json", ".jsonl", ".ndjson", ".xml", ".csv", ".tsv")
_LISTS = ("metadata.csv", "metadata.jsonl")  # of images, read by the reader of folders
_MOST_FILES = 20  # looked into in an archive
_BATCH_IMAGES = 256


def open_tool_file(upload: Upload) -> RowSource:
    """Read an export that was uploaded without an archive. Raises Invalid where its images are not in it."""
    opened = tool_file(upload)
    if opened is None:
        raise malformed("the file has changed while it was read")
    return _source(_table(opened, upload), None)


def open_tool_archive(kind: str, upload: Upload, listing: Listing) -> RowSource | None:
    """Read the export in an archive, with the images beside it; None where there is none. Raises Invalid for several."""
    found: list[tuple[Member, Opened]] = []
    candidates = [one for one in listing.members if _may_be_export(one)][:_MOST_FILES]
    with listing.reading() as read:
        for number, member in enumerate(candidates):
            name = member.path.rsplit("/", 1)[-1]
            inner = replace(upload, path=upload.scratch / f"tool-{number}", name=name)
            unpack(read, member, inner.path)
            opened = tool_file(inner) if inner.path.stat().st_size else None
            if opened is None:
                inner.path.unlink()
            else:
                found.append((member, opened))
    if not found:
        return None
    # CVAT writes its COCO files of one dataset beside each other; this one holds the classes of whole images.
    found = [one for one in found if one[0].path.rsplit("/", 1)[-1].startswith("labels_")] or found
    if len(found) > 1:
        names = ", ".join(member.path for member, _ in found)
        raise invalid(f"the archive has several exports of labelling tools, upload one of them: {names}")
    images = images_in(listing)
    table = _table(found[0][1], upload)
    source = _source(table, ArchiveImages(listing, images) if images else None)
    return replace(source, format=f"{source.format}, in {kind}", warnings=(*source.warnings, *listing.warnings))


def _may_be_export(member: Member) -> bool:
    path = member.path.lower()
    return path.endswith(_ENDINGS) and not member.fault and path.rsplit("/", 1)[-1] not in _LISTS


def _table(opened: Opened, upload: Upload) -> ToolTable:
    try:
        return opened(upload.spec)
    except SHAPE as error:
        raise malformed(f"the file is not as the labelling tool writes it: {type(error).__name__}") from error


def _source(table: ToolTable, pictures: ArchiveImages | None) -> RowSource:
    if table.image is not None and pictures is None:
        _check_inline(table)
    columns = ["file_name"] if table.image is not None else list(table.columns)
    label = free_name(table.label, columns)
    name = free_name("id", [*columns, label])
    split = free_name("split", [*columns, label, name]) if table.splits else None
    image = free_name("image", [*columns, label, name]) if table.image is not None else None
    own = [name, *columns, label, *([split] if split else [])]
    reader = _Reader(table, pictures, columns, label, name, split, image)
    return RowSource(
        format=table.title,
        batches=reader.batches,
        columns=(*own, *([image] if image else [])),
        label=label,
        id=name,
        split=split,
        image=image,
        path=columns[0] if image is not None else None,
        modality=table.modality,
        warnings=table.warnings,
        ids_hold=True,
    )


def _check_inline(table: ToolTable) -> None:
    shown = next(
        (str(one.values.get(table.image or "")) for one in table.items() if isinstance(one, ToolSample)), "data:"
    )
    if not is_inline(shown):
        tool = " or connect this service to Label Studio" if table.title.startswith("label studio") else ""
        raise invalid(
            f"the images are not in the upload: the file says where they are ({shown[:100]!r}), and that is not "
            f"fetched. Upload a ZIP with this file and the images beside it{',' + tool if tool else ''}"
        )


class _Reader:
    """The rows of a table; images are read with the archive opened once."""

    def __init__(
        self,
        table: ToolTable,
        pictures: ArchiveImages | None,
        columns: Sequence[str],
        label: str,
        name: str,
        split: str | None,
        image: str | None,
    ) -> None:
        self._table, self._pictures, self._columns = table, pictures, columns
        self._label, self._name, self._split, self._image = label, name, split, image

    def batches(self, media: bool) -> Iterator[Batch]:
        """All rows, anew at each call; image files only with `media`."""
        with self._pictures.listing.reading() if self._pictures is not None else nullcontext() as read:
            held = _Held()
            for index, one in enumerate(self._table.items()):
                held.vote(index, one.votes)
                if isinstance(one, SkippedRecord):
                    held.skip(index, self._where(one.name), one.reason)
                    continue
                if self._image is None:
                    held.add(index, one)
                else:
                    self._add_picture(held, index, one, read, media=media)
                if held.full(images=media and self._image is not None):
                    yield self._batch(held, media=media)
                    held = _Held()
            if held.items or held.skipped:
                yield self._batch(held, media=media)

    def _where(self, name: str) -> str:
        return f"{self._table.noun} {name}"

    def _add_picture(self, held: "_Held", index: int, one: ToolSample, read: OpenMember | None, *, media: bool) -> None:
        reference = str(one.values.get(self._table.image or "") or "")
        if is_inline(reference):
            path, (data, fault) = one.name, inline(reference) if media else (b"", "")
        else:
            found = self._pictures.find(reference) if self._pictures is not None else "its image is not in the upload"
            if isinstance(found, str):
                path, data, fault = reference, b"", found
            else:
                # As the tool says it, unless it leaves out the ending.
                path = reference if PurePosixPath(reference).suffix else found.path
                data, fault = contents(read, found) if media and read is not None else (b"", "")
        if fault:
            held.skip(index, self._where(one.name), fault)
        else:
            held.add(index, replace(one, values={self._columns[0]: path}), data)

    def _batch(self, held: "_Held", *, media: bool) -> Batch:
        items = held.items
        arrays = {self._name: pa.array([one.name for one in items], pa.string())}
        for column in self._columns:
            arrays[column] = as_column([one.values.get(column) for one in items])
        arrays[self._label] = as_column([one.label for one in items])
        if self._split is not None:
            arrays[self._split] = as_column([one.split for one in items])
        if self._image is not None and media:
            arrays[self._image] = pa.array(held.images, pa.binary())
        return Batch(
            rows=pa.RecordBatch.from_pydict(arrays),
            index=np.array(held.index, np.int64),
            where=lambda position: self._where(items[position].name),
            skipped=tuple(held.skipped),
            votes=table_of(held.votes),
        )


class _Held:
    """Rows until they make a batch."""

    def __init__(self) -> None:
        self.items: list[ToolSample] = []
        self.index: list[int] = []
        self.images: list[bytes] = []
        self.skipped: list[SkippedRow] = []
        self.votes: list[tuple[int, str, str]] = []
        self._size = 0

    def add(self, index: int, one: ToolSample, image: bytes = b"") -> None:
        self.items.append(one)
        self.index.append(index)
        self.images.append(image)
        self._size += len(image) + sum(len(value) for value in one.values.values() if isinstance(value, str))

    def skip(self, index: int, where: str, reason: str) -> None:
        self.skipped.append(SkippedRow(index=index, where=where, reason=reason))

    def vote(self, index: int, votes: Sequence[Vote]) -> None:
        self.votes += [(index, one.annotator, one.label) for one in votes]

    def full(self, *, images: bool) -> bool:
        most = _BATCH_IMAGES if images else BATCH_ROWS
        return len(self.items) + len(self.skipped) >= most or self._size > BATCH_BYTES
