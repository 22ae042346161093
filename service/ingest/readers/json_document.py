"""A table as one JSON document: an array of objects, alone or under a key, and the forms that pandas writes.

`orient="records"`, and any array of objects among the values of an object, is read piece by piece. `split`, `columns`,
`index`, and an object of arrays turn rows into columns, so that they are held whole and their size is limited. Objects one after the other, which
are no document, are read as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from service.domain.errors import TooLarge
from service.ingest.encoding import encoding_of
from service.ingest.faults import invalid, listed
from service.ingest.readers.json_lines import Record, record_batches
from service.ingest.readers.json_stream import holds_several, objects, pieces
from service.ingest.source import RowSource, Upload

_SPACE = "\ufeff \t\r\n"
_LONGEST_LINE = 64 * 2**20
_LARGEST_WHOLE = 256 * 2**20  # bytes of a document that is held whole
_FEWEST_KEYS = 10  # of an object of names and their labels
_NUMBER = 8  # characters of a number, about
_FORMS = "an array of objects, alone or under one key, or what pandas writes: records, split, columns or index"


def is_document(path: Path) -> bool:
    """Whether JSON is one document rather than an object a line."""
    with path.open(encoding=encoding_of(path), errors="replace") as text:
        lines = (line.strip(_SPACE) for line in iter(lambda: text.readline(_LONGEST_LINE), ""))
        filled = filter(None, lines)
        first, second = next(filled, ""), next(filled, "")
    if first.startswith("["):
        return True
    try:
        loads(first)
    except (ValueError, RecursionError) as error:
        if isinstance(error, JSONDecodeError) and error.msg == "Extra data":
            return True  # several objects in a line
        # Lines of which the first is broken begin with braces, and an object over several lines has them at its ends.
        return not (first.endswith("}") and second.startswith("{"))
    return not second


def open_json_document(upload: Upload) -> RowSource:
    """Read a table that is one JSON document. Raises `Malformed` naming the line, `Invalid` where it is no table, `TooLarge`."""
    encoding = encoding_of(upload.path)
    if holds_several(upload.path, encoding):
        return _source(upload, encoding, "objects", lambda: _numbered(objects(upload.path, encoding)))
    sections = _sections(upload.path, encoding)
    arrays = _arrays(sections)
    if len(arrays) == 1:
        section = arrays[0]
        form = "array" if section == "" else f"array under {section!r}"
        return _source(upload, encoding, form, lambda: _elements(upload.path, encoding, section))
    if len(arrays) > 1:
        raise invalid(f"several keys hold arrays of objects: {listed(arrays)}; keep the one to be read")
    if upload.path.stat().st_size > _LARGEST_WHOLE:
        raise TooLarge(
            f"the JSON has its columns one after the other, which is held whole up to {_LARGEST_WHOLE:,} bytes; "
            "write an array of objects, or an object a line"
        )
    form, rows = _whole(_document(upload.path, encoding), sections)
    return _source(upload, encoding, form, lambda: _records(rows))


def array_section(path: Path, encoding: str) -> str | None:
    """The key of the array of objects, "" where the document is one; None where it has none, or several."""
    arrays = _arrays(_sections(path, encoding))
    return arrays[0] if len(arrays) == 1 else None


def _arrays(sections: Mapping[str, set[str]]) -> list[str]:
    return [name for name, kinds in sections.items() if kinds == {"object in an array"}]


def _source(upload: Upload, encoding: str, form: str, records: Any) -> RowSource:
    return RowSource(
        format=f"json, {form}, encoding {encoding}",
        batches=lambda _media: record_batches(records(), upload.limits),
    )


def _kind(key: str, value: Any) -> str:
    place = "with keys" if key else "in an array"
    return (
        f"object {place}"
        if isinstance(value, dict)
        else f"array {place}"
        if isinstance(value, list)
        else f"value {place}"
    )


def _sections(path: Path, encoding: str) -> dict[str, set[str]]:
    """What the sections of a document hold."""
    found: dict[str, set[str]] = {}
    for section, key, value in pieces(path, encoding):
        found.setdefault(section, set()).add(_kind(key, value))
    return found


def _elements(path: Path, encoding: str, wanted: str) -> Iterator[Record]:
    return _numbered(value for section, _, value in pieces(path, encoding) if section == wanted)


def _numbered(found: Iterable[dict[str, Any]]) -> Iterator[Record]:
    return (Record(f"element {place}", _size(value), value) for place, value in enumerate(found))


def _size(row: Mapping[str, Any]) -> int:
    """About how many characters a row has."""
    size = 0
    for one in row.values():
        size += len(one) if isinstance(one, str) else _NUMBER * (len(one) if isinstance(one, list) else 1)
    return size


def _document(path: Path, encoding: str) -> dict[str, Any]:
    """The whole document, of which members of an object under a key are a dict, and elements of an array a list."""
    found: dict[str, Any] = {}
    for section, key, value in pieces(path, encoding):
        if key:
            found.setdefault(section, {})[key] = value
        else:
            found.setdefault(section, []).append(value)
    return found


def _whole(document: Mapping[str, Any], sections: Mapping[str, set[str]]) -> tuple[str, list[dict[str, Any]]]:
    """The form of a document without an array of objects, and its rows."""
    if {"columns", "data"} <= document.keys() and sections["data"] == {"array in an array"}:
        return "split", _split(document["columns"], document["data"])
    if document and all(kinds == {"value with keys"} for kinds in sections.values()):
        return _keyed(document)
    scalars = all(kinds == {"value in an array"} and len(document[name]) == 1 for name, kinds in sections.items())
    if scalars and len(document) >= _FEWEST_KEYS:
        return "keys and values", [{"key": key, "value": one[0]} for key, one in document.items()]
    if len(document) > 1 and all(isinstance(one, list) for one in document.values()):
        lengths = {name: len(one) for name, one in document.items()}
        longest = max(lengths.values())
        arrays = {name: one for name, one in document.items() if lengths[name] == longest}
        if longest > 1 and len(arrays) == len(document):
            return "columns", [dict(zip(document, row, strict=True)) for row in zip(*document.values(), strict=True)]
        if longest > 1:
            raise invalid(
                f"the arrays differ in length: {listed([f'{name} ({size:,})' for name, size in lengths.items()])}"
            )
    raise invalid(f"the JSON is no table; readable are {_FORMS}")


def _split(names: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    odd = next((place for place, row in enumerate(rows) if len(row) != len(names)), None)
    if odd is not None:
        raise invalid(
            f"element {odd} of data has {len(rows[odd])} values, and columns has {len(names)} names", f"element {odd}"
        )
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _keyed(document: Mapping[str, Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """`columns`, {"x": {"0": 1, "1": 2}}, or `index`, {"0": {"x": 1}}: names of columns are no numbers."""
    if all(name.isdigit() for name in document) or not all(key.isdigit() for one in document.values() for key in one):
        named = not all(name.isdigit() for name in document)
        return "index", [{**({"key": name} if named else {}), **row} for name, row in document.items()]
    keys = dict.fromkeys(key for column in document.values() for key in column)
    return "columns", [{name: column.get(key) for name, column in document.items()} for key in keys]


def _records(rows: Sequence[dict[str, Any]]) -> Iterator[Record]:
    return (Record(f"row {place}", _size(row), row) for place, row in enumerate(rows))
