"""Sizes that the messages of an Arrow IPC file declare of their compressed buffers, read before these are expanded.

A message is a flatbuffer (format/Message.fbs of Apache Arrow). A compressed buffer begins with its expanded size.
"""

import struct
from typing import Any

_HEADER, _RECORD_BATCH, _DICTIONARY = 2, 3, 2  # fields and kinds of a message, by number
_BUFFERS, _COMPRESSION, _DATA = 2, 3, 1
_BUFFER_BYTES = 16  # of its place and length
_UNCOMPRESSED = -1


def expanded_bytes(message: Any) -> int:
    """Bytes of the buffers of a message once they are expanded; those that it has where nothing is compressed.

    `message` is a pyarrow.ipc.Message. Raises ValueError for one that is damaged.
    """
    metadata, body = memoryview(message.metadata), message.body
    try:
        return _expanded(metadata, memoryview(body) if body is not None else memoryview(b""))
    except struct.error as error:
        raise ValueError("a message of the Arrow file is damaged") from error


def _expanded(data: memoryview, body: memoryview) -> int:
    root = _number("<I", data, 0)
    kind, table = _place(data, root, 1), _place(data, root, _HEADER)
    if kind is None or table is None:
        return body.nbytes
    batch = _follow(data, table)
    which = data[kind]
    if which == _DICTIONARY:
        inner = _place(data, batch, _DATA)
        if inner is None:
            return body.nbytes
        batch = _follow(data, inner)
    elif which != _RECORD_BATCH:
        return body.nbytes
    buffers = _place(data, batch, _BUFFERS)
    if buffers is None or _place(data, batch, _COMPRESSION) is None:
        return body.nbytes
    start = _follow(data, buffers)
    total = 0
    for number in range(_number("<I", data, start)):
        place, length = struct.unpack_from("<qq", data, start + 4 + number * _BUFFER_BYTES)
        if length >= 8 and 0 <= place <= body.nbytes - 8:
            size = _number("<q", body, place)
            total += length if size == _UNCOMPRESSED else max(size, 0)
    return total


def _number(form: str, data: memoryview, place: int) -> int:
    if place < 0:
        raise struct.error
    return int(struct.unpack_from(form, data, place)[0])


def _follow(data: memoryview, place: int) -> int:
    """The place that an offset at this place leads to."""
    return place + _number("<I", data, place)


def _place(data: memoryview, table: int, field: int) -> int | None:
    """The place of a field of a table, by its number; None where the table lacks it."""
    vtable = table - _number("<i", data, table)
    entry = 4 + 2 * field
    if entry + 2 > _number("<H", data, vtable):
        return None
    offset = _number("<H", data, vtable + entry)
    return table + offset if offset else None
