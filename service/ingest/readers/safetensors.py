"""The header of a safetensors file: its arrays by name, each read by rows later, and its texts.

Read here and not by the library, which maps the whole file: what is mapped counts as memory, and uploads are large.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.errors import TooLarge
from service.ingest.faults import malformed
from service.ingest.readers.arrays import LARGEST_AXIS, StoredArray

_LENGTH = 8  # bytes, little-endian: how long the header is
_LONGEST = 100_000_000  # as the format has it
_MOST_AXES = 32
_ADVICE = "give ids as an array of whole numbers, or save an NPZ"
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins so may be one."""
    length = int.from_bytes(head[:_LENGTH], "little")
    return head[_LENGTH : _LENGTH + 1] == b"{" and _LENGTH + length <= size and length <= _LONGEST


def open_tensors(
    path: Path, *, longest: int = _LONGEST, barest: int = _LONGEST, advice: str = _ADVICE
) -> tuple[dict[str, StoredArray], dict[str, str]]:
    """Arrays by name, and the metadata. Raises `Malformed` naming the array at fault.

    `longest` is how many bytes a header may have; `barest` how many of them may be no text: those cost many times as
    much memory. `advice` says what helps against a longer one.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if length > longest:
            raise TooLarge(
                f"the header of the safetensors file has {length:,} bytes; the limit is {longest:,}: {advice}"
            )
        header = _header(file.read(length), barest)
    metadata = header.pop("__metadata__", None) or {}
    if not _is_texts(metadata):
        raise malformed("the __metadata__ of the safetensors file must map texts to texts")
    begin = _LENGTH + length
    return {name: _stored(name, path, begin, entry) for name, entry in header.items()}, metadata


def bare(raw: bytes) -> bytes:
    """JSON with a quote in place of every text: what is left says how much there is to build."""
    codes = np.frombuffer(raw.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    return codes[~np.logical_xor.accumulate(codes == ord('"'))].tobytes()


def _header(raw: bytes, barest: int) -> dict[str, Any]:
    try:
        if len(raw) > barest and len(bare(raw)) > barest:
            raise TooLarge(f"the header of the safetensors file has more than {barest:,} bytes beside its texts")
        header = json.loads(raw.decode())
        json.dumps(header, ensure_ascii=False).encode()  # half of a surrogate pair is no text that can be kept
    except (ValueError, RecursionError) as error:
        raise malformed(f"the header of the safetensors file cannot be read: {error}") from error
    if not isinstance(header, dict) or any("\0" in name for name in header):
        raise malformed("the header of the safetensors file must map names without NUL characters to arrays")
    return header


def _is_texts(metadata: Any) -> bool:
    return isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())


def _stored(name: str, path: Path, begin: int, entry: Any) -> StoredArray:
    where = f"array {name}"
    if not isinstance(entry, Mapping) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise malformed(f"the header says neither dtype, shape nor data_offsets of {name!r}", where)
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
        raise malformed(f"{name!r} is of type {entry['dtype']}, which is not read; save it as float32", where)
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], np.dtype(_DTYPES[entry["dtype"]])
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise malformed(f"shape and data_offsets of {name!r} must be whole numbers", where)
    size = dtype.itemsize * prod(shape)
    if offsets[1] - offsets[0] != size or begin + offsets[1] > path.stat().st_size:
        raise malformed(f"{name!r} is cut short: {tuple(shape)} of {entry['dtype']} were announced", where)
    return StoredArray(name, path, begin + offsets[0], dtype, tuple(shape) or (1,), fortran=False)


def _are_counts(values: Any) -> bool:
    counts = isinstance(values, list) and len(values) <= _MOST_AXES
    return counts and all(type(value) is int and 0 <= value <= LARGEST_AXIS for value in values)
