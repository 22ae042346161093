"""NPZ files with the array of labels changed and the rows of removed samples gone from every array of samples."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from service.ingest.readers.arrays import ArrayPart, StoredArray, array_parts, spans
from service.ingest.rewritten.edits import Edits, no_form, spellings
from service.ingest.source import RowSource, Upload
from service.ingest.streams import Sink

_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Change:
    """What becomes of an array of samples, of which the first is at the position `start` of the upload."""

    start: int
    part: ArrayPart
    edits: Edits
    spelt: Mapping[str, Any]

    def pieces(self, stored: StoredArray) -> Iterator[bytes]:
        """The array as an NPY file."""
        removed = sum(self.start <= index < self.start + len(stored) for index in self.edits.removed)
        kind = self._type(stored)
        yield _header(kind, (len(stored) - removed, *stored.shape[1:]))
        for start, stop in spans(stored):
            rows = stored.rows(start, stop).astype(kind)
            positions = range(self.start + start, self.start + stop)
            if stored is self.part.y:
                for place, index in enumerate(positions):
                    if index in self.edits.labels:
                        rows[place] = self.spelt[self.edits.labels[index]]
            keep = np.fromiter((index not in self.edits.removed for index in positions), bool, len(rows))
            yield np.ascontiguousarray(rows[keep]).tobytes()

    def _type(self, stored: StoredArray) -> Any:
        """The array's own type; texts are as long as the longest label."""
        if stored is not self.part.y or stored.dtype.kind not in "US":
            return stored.dtype
        longest = max(
            (np.array([value]).astype(stored.dtype.kind).dtype.itemsize for value in self.spelt.values()), default=0
        )
        size = max(longest, stored.dtype.itemsize)
        return np.dtype(f"{stored.dtype.str[0]}{stored.dtype.kind}{size // (4 if stored.dtype.kind == 'U' else 1)}")


def rewrite_npz(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The file in pieces: its arrays in their order, each packed as it was.

    Raises Conflict where the class is not the array of labels, or has no value in it.
    """
    if label != "y":
        raise no_form(f"the class is the column {label!r} of the samples, and not the array of labels")
    arrays, parts = array_parts(upload)
    changes: dict[str, _Change] = {}
    spelt = _spelt(parts, edits)
    start = 0
    for part in parts:
        change = _Change(start, part, edits, spelt)
        # With one part, any array with a row for each sample is of these.
        beside = arrays.values() if len(parts) == 1 else (part.x, part.y, part.id, part.split)
        of_samples = (one for one in beside if isinstance(one, StoredArray) and len(one) == len(part.x))
        changes |= {one.name: change for one in of_samples}
        start += len(part.x)

    def pieces() -> Iterator[bytes]:
        sink = Sink(rewritable=False)
        with zipfile.ZipFile(upload.path) as read, zipfile.ZipFile(sink, "w") as archive:
            for member in read.infolist():
                name = member.filename.removesuffix(".npy")
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type, info.file_size = member.compress_type, member.file_size
                changed = changes[name].pieces(arrays[name]) if name in changes else _copied(read.open(member))
                with archive.open(info, "w") as packed:
                    for piece in changed:
                        packed.write(piece)
                        yield sink.take()
        yield sink.take()

    return pieces()


def _spelt(parts: list[ArrayPart], edits: Edits) -> dict[str, Any]:
    named = {name: place for part in parts for place, name in enumerate(part.classes)}
    spelt: dict[str, Any] = {**named} if named else spellings(_labels(parts), edits)
    stored = parts[0].y
    for name in sorted(set(edits.labels.values()) - set(spelt)):
        value = None if named else _value(name, stored.dtype.kind)
        if value is None:
            raise no_form(f"the array {stored.name!r} has no value for the class {name!r}")
        spelt[name] = value
    return spelt


def _value(name: str, kind: str) -> Any:
    """A class as a value of an array of this kind of numbers or texts; None where there is none."""
    if kind == "U":
        return name
    if kind == "S":
        return name.encode()
    return int(name) if kind in "iu" and name.isdecimal() else None


def _labels(parts: list[ArrayPart]) -> Iterator[tuple[int, Any]]:
    index = 0
    for part in parts:
        for start, stop in spans(part.y):
            yield from enumerate(part.y.rows(start, stop).reshape(-1).tolist(), index + start)
        index += len(part.y)


def _header(kind: Any, shape: tuple[int, ...]) -> bytes:
    sink = Sink()
    described = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(sink, described)
    return sink.take()


def _copied(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
