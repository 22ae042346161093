"""NPZ: arrays of samples and labels, such as `x` and `y`, or `train_images` and `train_labels`, with optional ids and splits."""

import io
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from service.domain.dataset import ClientWarning
from service.ingest.faults import bad_spec, invalid, listed, malformed
from service.ingest.readers.array_names import ArrayNames, PartNames, array_names
from service.ingest.readers.column_names import distinct_names
from service.ingest.readers.listing import opened_member, opened_zip
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, RowSource, Upload

LARGEST_AXIS = 2**63 - 1  # that Python counts to

_EMBEDDING_FROM = 128
_CHANNELS = (1, 3, 4)

Form = Literal["columns", "embedding", "images"]
Range = Literal["bytes", "unit"]


@dataclass(frozen=True)
class StoredArray:
    """One array on disk: read by rows, never whole."""

    name: str
    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        """A copy of the rows from `start` up to `stop`."""
        if self.fortran:
            whole = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order="F")
            return np.array(whole[start:stop], order="C")
        size = self.dtype.itemsize * prod(self.shape[1:])
        with self.path.open("rb") as file:
            file.seek(self.offset + start * size)
            data = file.read((stop - start) * size)
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])


@dataclass(frozen=True)
class ArrayPart:
    """Samples with their labels; `split` is what the arrays' names say."""

    x: StoredArray
    y: StoredArray
    id: StoredArray | None
    split: StoredArray | str | None
    classes: tuple[str, ...] = ()  # names of the labels, which are places among them


def open_npz(upload: Upload) -> RowSource:
    """Read arrays of samples and labels; nothing in the file is ever unpickled.

    `x` with two dimensions is a table of columns x0, x1, …, or from 128 columns on an embedding; with three or four it
    holds images. Raises `Malformed` for pickles and damage, `Invalid` for missing or unequal arrays.
    """
    arrays, pickled = _unpacked(upload)
    meant = array_names([*arrays, *pickled])
    for name in pickled:
        if name in meant.all:
            raise _is_pickled(name)
    parts = _parts(arrays, meant)
    form = _form(parts, upload)
    scale = _range(parts) if form == "images" else "bytes"
    width = prod(parts[0].x.shape[1:])
    names = _column_names(arrays.get(meant.columns or ""), width) if form == "columns" else ["x"]
    upload.limits.check_columns(len(names))
    splits = any(part.split is not None for part in parts)
    ids = all(part.id is not None for part in parts)
    columns = [*names, "y", *(["id"] if ids else []), *(["split"] if splits else [])]
    return RowSource(
        format=f"npz, arrays {', '.join(arrays)}",
        batches=lambda media: _batches(parts, form, scale, names, columns, media),
        columns=tuple(columns),
        label="y",
        id="id" if ids else None,
        split="split" if splits else None,
        image="x" if form == "images" else None,
        warnings=(*(_doubts(parts, scale) if form == "images" else ()), *_ignored(meant, [*arrays, *pickled])),
    )


def array_parts(upload: Upload) -> tuple[dict[str, StoredArray], list[ArrayPart]]:
    """All arrays of an NPZ that are no pickles, and the parts that `open_npz` reads of them."""
    arrays, pickled = _unpacked(upload)
    return arrays, _parts(arrays, array_names([*arrays, *pickled]))


def _ignored(meant: ArrayNames, names: Sequence[str]) -> tuple[ClientWarning, ...]:
    others = [name for name in names if name not in meant.all]
    detail = f"these arrays are not read: {listed(others)}"
    return (ClientWarning(code="ignored_arrays", detail=detail),) if others else ()


def _column_names(stored: StoredArray | None, width: int) -> list[str]:
    """Names of the columns: those of the file where there is one for each, else x0, x1 and so on."""
    if stored is None or len(stored) != width or prod(stored.shape[1:]) != 1:
        return [f"x{number}" for number in range(width)]
    own = ("y", "id", "split")
    return distinct_names([*own, *(name.strip() for name in texts(stored.name, stored.rows(0, width).reshape(width)))])[
        0
    ][3:]


def unpack(upload: Upload) -> dict[str, StoredArray]:
    """Every array of an NPZ, laid out in a scratch file each. Raises `Malformed` for pickles and damage."""
    arrays, pickled = _unpacked(upload)
    if pickled:
        raise _is_pickled(pickled[0])
    return arrays


def _is_pickled(name: str) -> Exception:
    return malformed(
        f"the array {name!r} holds pickled Python objects, which are never loaded; save numbers or fixed-length text",
        f"array {name}",
    )


def _unpacked(upload: Upload) -> tuple[dict[str, StoredArray], list[str]]:
    """The arrays of an NPZ, and the names of those that are pickles."""
    pickled: list[str] = []
    with opened_zip(upload.path) as archive:
        members = archive.infolist()
        upload.limits.check_expansion(upload.path.stat().st_size, sum(member.file_size for member in members))
        arrays = {}
        for number, member in enumerate(members):
            path = upload.scratch / f"array-{number}.npy"
            with opened_member(archive, member) as packed, path.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
            name = member.filename.removesuffix(".npy")
            stored = _stored(name, path)
            if stored is None:
                pickled.append(name)
            else:
                arrays[name] = stored
    return arrays, pickled


def _stored(name: str, path: Path) -> StoredArray | None:
    """Read an array's header: `numpy.lib.format`, without ever reading an object array, which is None."""
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except Exception as error:
            raise malformed(f"{name!r} is not a NumPy array: {error}", f"array {name}") from error
        offset = file.tell()
    if dtype.hasobject:
        return None
    if dtype.itemsize == 0 or dtype.subdtype is not None:
        raise malformed(f"the array {name!r} holds {dtype}, of which there is nothing to read", f"array {name}")
    shape = tuple(map(int, shape)) or (1,)  # a header may say True, which is a whole number too
    if not 0 <= min(shape) <= max(shape) <= LARGEST_AXIS or offset + dtype.itemsize * prod(shape) > path.stat().st_size:
        raise malformed(f"the array {name!r} is cut short: {shape} of {dtype} were announced", f"array {name}")
    return StoredArray(name, path, offset, dtype, shape, fortran and len(shape) > 1)


def _parts(arrays: dict[str, StoredArray], meant: ArrayNames) -> list[ArrayPart]:
    if not meant.parts:
        raise invalid(
            "an NPZ needs the arrays x and y, data and target, images and labels, or the same by split, as x_train, y_train or "
            f"train_images, train_labels; this one has {', '.join(arrays)}"
        )
    classes = arrays.get(meant.classes or "")
    parts = [_part(arrays, names, classes) for names in meant.parts]
    shapes = {part.x.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise invalid(f"the samples of the parts differ in shape: {', '.join(map(str, sorted(shapes)))}", "array x")
    return parts


def _part(arrays: dict[str, StoredArray], names: PartNames, classes: StoredArray | None) -> ArrayPart:
    x = arrays[names.samples]
    if names.labels is None:
        wanted = f"y_{names.part}" if names.part else "y"
        raise invalid(
            f"the labels are missing: add the array {wanted}, one label for each of the {len(x)} rows of {x.name}",
            f"array {wanted}",
        )
    y = arrays[names.labels]
    if len(y.shape) > 1 and prod(y.shape[1:]) != 1:
        raise invalid(
            f"{y.name} has shape {y.shape}; several labels for one sample are not supported, give one class each; "
            f"of one-hot rows save {y.name}.argmax(axis=1)",
            f"array {y.name}",
        )
    ids = arrays[names.ids] if names.ids else None
    split = arrays[names.split] if names.split else names.part
    for other in (y, ids, split):
        if isinstance(other, StoredArray) and len(other) != len(x):
            raise invalid(f"{x.name} has {len(x)} rows but {other.name} has {len(other)}", f"array {other.name}")
        if isinstance(other, StoredArray) and prod(other.shape[1:]) != 1:
            raise invalid(f"{other.name} has shape {other.shape}; one entry a row is expected", f"array {other.name}")
    return ArrayPart(x, y, ids, split, _class_names(y, classes))


def _class_names(y: StoredArray, classes: StoredArray | None) -> tuple[str, ...]:
    """Names of the labels, where these are places among them. Raises `Invalid` for a place that has no name."""
    if classes is None or y.dtype.kind not in "iu" or prod(classes.shape[1:]) != 1:
        return ()
    found = tuple(texts(classes.name, classes.rows(0, len(classes)).reshape(len(classes))))
    for start, stop in spans(y):
        places = y.rows(start, stop).reshape(-1)
        odd = places[(places < -1) | (places >= len(found))]
        if len(odd):
            raise invalid(
                f"{y.name} holds {odd[0]}, and {classes.name} has the names of 0 to {len(found) - 1}; count the labels from 0, "
                f"or leave out {classes.name}",
                f"array {y.name}",
            )
    return found


def _form(parts: Sequence[ArrayPart], upload: Upload) -> Form:
    x = parts[0].x
    if x.dtype.kind not in "biuf":
        raise invalid(f"{x.name} holds {x.dtype}, numbers are needed", f"array {x.name}")
    if prod(x.shape[1:]) == 0:
        raise invalid(f"{x.name} has shape {x.shape}: there is nothing to learn from", f"array {x.name}")
    if len(x.shape) <= 2:
        wanted = upload.spec.modality
        wide = prod(x.shape[1:]) >= _EMBEDDING_FROM
        return "embedding" if wanted == "embedding" or (wide and wanted == "auto") else "columns"
    if upload.spec.modality not in ("auto", "image"):
        raise bad_spec("modality", f"{x.name} has shape {x.shape}, which is read as images")
    if len(x.shape) == 3 or (len(x.shape) == 4 and (x.shape[3] in _CHANNELS or x.shape[1] in _CHANNELS)):
        return "images"
    raise invalid(
        f"{x.name} has shape {x.shape}; images are (n, height, width) or (n, height, width, 1, 3 or 4)",
        f"array {x.name}",
    )


def _range(parts: Sequence[ArrayPart]) -> Range:
    """Whether pixels are bytes or fractions; reads floats once."""
    if all(part.x.dtype == np.uint8 for part in parts):
        return "bytes"
    low, high = np.inf, -np.inf
    for part in parts:
        for start, stop in spans(part.x):
            pixels = part.x.rows(start, stop).astype(np.float64)
            finite = pixels[np.isfinite(pixels)]
            low, high = min(low, finite.min(initial=np.inf)), max(high, finite.max(initial=-np.inf))
    if low >= 0 and high <= 1:
        return "unit"
    if low >= 0 and high <= 255:
        return "bytes"
    raise invalid(f"pixels run from {low:g} to {high:g}; images need 0 to 255, or 0 to 1", f"array {parts[0].x.name}")


def _doubts(parts: Sequence[ArrayPart], scale: Range) -> tuple[ClientWarning, ...]:
    if scale == "unit":
        return (
            ClientWarning(code="images_scaled", detail="pixels from 0 to 1 were scaled to whole numbers from 0 to 255"),
        )
    if any(part.x.dtype.kind == "f" for part in parts):
        return (ClientWarning(code="images_rounded", detail="pixels from 0 to 255 were rounded to whole numbers"),)
    return ()


def spans(array: StoredArray) -> Iterator[tuple[int, int]]:
    """Rows to be read at once: from and to."""
    size = max(1, array.dtype.itemsize * prod(array.shape[1:]))
    step = max(1, min(BATCH_ROWS, BATCH_BYTES // size))
    return ((start, min(start + step, len(array))) for start in range(0, len(array), step))


def _batches(
    parts: Sequence[ArrayPart], form: Form, scale: Range, names: list[str], columns: list[str], media: bool
) -> Iterator[Batch]:
    index = 0
    for part in parts:
        for start, stop in spans(part.x):
            values: dict[str, Any] = {"y": _labels(part, start, stop)}
            if form == "images" and media:
                values["x"] = pa.array([_png(image, scale) for image in part.x.rows(start, stop)], pa.binary())
            elif form == "embedding":
                values["x"] = _vectors(part.x.rows(start, stop))
            elif form == "columns":
                table = part.x.rows(start, stop).reshape(stop - start, -1)
                values |= {name: _plain(table[:, number]) for number, name in enumerate(names)}
            if "id" in columns and part.id is not None:
                values["id"] = _flat(part.id, start, stop)
            if "split" in columns:
                whole = [part.split] * (stop - start)
                values["split"] = _flat(part.split, start, stop) if isinstance(part.split, StoredArray) else whole
            present = [name for name in columns if name in values]
            yield _batch(pa.RecordBatch.from_pydict({name: values[name] for name in present}), index, start, part)
            index += stop - start


def _batch(rows: Any, index: int, start: int, part: ArrayPart) -> Batch:
    return Batch(
        rows=rows,
        index=np.arange(index, index + rows.num_rows, dtype=np.int64),
        where=lambda position: f"row {start + position} of {part.x.name}",
    )


def texts(name: str, values: npt.NDArray[Any]) -> list[str]:
    """The values of the array of this name as texts. Raises `Invalid` for texts that nobody can keep."""
    try:
        found = values.tolist()
    except (SystemError, ValueError) as error:
        raise invalid(f"{name} holds characters that do not exist", f"array {name}") from error
    said = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in found]
    check_texts(f"array {name}", said)
    return said


def check_texts(where: str, texts: Sequence[str]) -> None:
    """Raise `Invalid` for half of a surrogate pair and for NUL, which no file or no database keeps."""
    for place, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise invalid(f"{where}, entry {place}: {text!r} holds half of a surrogate pair", where) from None
        if "\0" in text:
            raise invalid(f"{where}, entry {place}: {text!r} holds a NUL character", where)


def _labels(part: ArrayPart, start: int, stop: int) -> Any:
    """Labels as they are, or by their names; -1, which means none, as null."""
    if not part.classes:
        return _flat(part.y, start, stop)
    places = part.y.rows(start, stop).reshape(-1)
    return pa.array([part.classes[place] if place >= 0 else None for place in places.tolist()], pa.string())


def _flat(stored: StoredArray, start: int, stop: int) -> Any:
    values = stored.rows(start, stop)
    flat = values.reshape(len(values))
    return pa.array(texts(stored.name, flat), pa.string()) if flat.dtype.kind in "US" else _plain(flat)


def _plain(column: npt.NDArray[Any]) -> Any:
    """A column that Arrow takes: native byte order, no half floats."""
    if column.dtype.kind == "f":
        return pa.array(np.ascontiguousarray(column, np.float32 if column.dtype.itemsize <= 4 else np.float64))
    return pa.array(np.ascontiguousarray(column, column.dtype.newbyteorder("=")))


def _vectors(rows: npt.NDArray[Any]) -> Any:
    flat = pa.array(np.ascontiguousarray(rows.reshape(-1), np.float32))
    return pa.FixedSizeListArray.from_arrays(flat, max(1, prod(rows.shape[1:])))


def _png(pixels: npt.NDArray[Any], scale: Range) -> bytes | None:
    """One image as a PNG file; None where a pixel is no number."""
    if not np.isfinite(pixels).all():
        return None
    pixels = np.rint(pixels.astype(np.float64) * (255 if scale == "unit" else 1)).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS:
        pixels = pixels.transpose(1, 2, 0)
    squeezed = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(squeezed)).save(file, "PNG", compress_level=1)
    return file.getvalue()
