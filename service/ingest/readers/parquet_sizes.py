"""What a Parquet file says of the sizes of its columns, read from its footer and the headers of its dictionary pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_HEADER = 64  # bytes of a page that begin with its kind, its size and its compressed size
_DICTIONARY_PAGE = 2
_SLACK = 2**20  # bytes: some writers count the headers of pages otherwise
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_BY_DICTIONARY = frozenset({"PLAIN_DICTIONARY", "RLE_DICTIONARY"})


def declared_bytes(metadata: Any) -> int:
    """Bytes that all values take at least once they are decoded, and all pages once they are expanded."""
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values * _WIDTHS.get(chunk.physical_type, 1))
        for chunk in _chunks(metadata)
    )


def longest_value(path: Path, metadata: Any) -> int:
    """An upper limit of the bytes of one text where a few stored bytes may stand for it: of dictionaries and of prefixes."""
    longest = 0
    with path.open("rb") as file:
        for chunk in _chunks(metadata):
            if chunk.physical_type != "BYTE_ARRAY":
                continue
            if "DELTA_BYTE_ARRAY" in chunk.encodings:
                longest = max(longest, chunk.total_uncompressed_size)
            elif _BY_DICTIONARY & {*chunk.encodings}:
                longest = max(longest, _dictionary_bytes(file, chunk))
    return longest


def false_page(path: Path, metadata: Any) -> str:
    """Name of a column whose first dictionary or data page claims far more bytes than all its pages have; empty without one.

    As many bytes as a page claims are taken from memory before it is read and before it is expanded.
    """
    with path.open("rb") as file:
        for chunk in _chunks(metadata):
            for place in (chunk.dictionary_page_offset, chunk.data_page_offset):
                _, expanded, packed = _page(file, place or 0)
                has = chunk.total_uncompressed_size, chunk.total_compressed_size
                if any((one or 0) > _SLACK + 2 * all_ for one, all_ in zip((expanded, packed), has, strict=True)):
                    return str(chunk.path_in_schema)
    return ""


def _chunks(metadata: Any) -> Iterator[Any]:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        yield from map(group.column, range(group.num_columns))


def _dictionary_bytes(file: BinaryIO, chunk: Any) -> int:
    """Expanded bytes of the dictionary, by the header of its page; those of the whole chunk where that cannot be read.

    A page header is a structure in Thrift's compact protocol, whose first fields are the kind and the expanded size.
    """
    places = [place for place in (chunk.dictionary_page_offset, chunk.data_page_offset) if place]
    kind, size, _ = _page(file, min(places, default=0))
    if kind == _DICTIONARY_PAGE and size is not None and size >= 0:
        return size
    return int(chunk.total_uncompressed_size)


def _page(file: BinaryIO, place: int) -> tuple[int | None, int | None, int | None]:
    """Kind, expanded and compressed size of the page at a place, by its header; None for what is no such header."""
    file.seek(max(0, place))
    header = file.read(_HEADER)
    kind, after = _field(header, 0)
    expanded, after = _field(header, after)
    return kind, expanded, _field(header, after)[0]


def _field(header: bytes, place: int) -> tuple[int | None, int]:
    """The next field, where it is a number of 32 bits whose own number is one more, and the place after it."""
    if header[place : place + 1] != b"\x15":
        return None, place
    found = shift = 0
    for end in range(place + 1, min(place + 6, len(header))):
        found |= (header[end] & 0x7F) << shift
        if header[end] < 0x80:
            return (found >> 1) ^ -(found & 1), end + 1
        shift += 7
    return None, place
