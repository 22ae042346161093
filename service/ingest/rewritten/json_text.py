"""JSON lines and JSON arrays, of which only the values that change and the objects that go are not as they were."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from service.ingest.encoding import encoding_of
from service.ingest.readers.json_document import array_section
from service.ingest.readers.json_stream import copied, pieces
from service.ingest.rewritten.edits import Edits, is_blank, no_form, spellings
from service.ingest.rewritten.encoded import written_as
from service.ingest.source import RowSource, Upload

_DECODE = json.JSONDecoder().raw_decode
_SPACE = " \t\r\n"
_LONGEST_LINE = 64 * 2**20

Edit = Callable[[int, str], str | None]


def rewrite_json_lines(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The lines in pieces, with another label or without those that go; blank lines and broken ones as they stand."""

    def objects() -> Iterator[tuple[int, Any]]:
        return ((index, _held(text)) for index, text in json_lines(upload) if index is not None)

    escaped = not encoding_of(upload.path).startswith("utf")
    return edited_lines(upload, _edit(label, edits, objects, escaped=escaped))


def rewrite_json_array(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The document in pieces, with the white space that it has.

    Raises Conflict where its columns stand one after the other.
    """
    encoding = encoding_of(upload.path)
    section = array_section(upload.path, encoding)
    if section is None:
        raise no_form("this JSON has its columns one after the other and not an array of objects")

    def objects() -> Iterator[tuple[int, Any]]:
        return enumerate(value for name, _, value in pieces(upload.path, encoding) if name == section)

    escaped = not encoding.startswith("utf")
    return edited_array(upload, section, _edit(label, edits, objects, escaped=escaped))


def edited_array(upload: Upload, section: str, edit: Edit) -> Iterator[bytes]:
    """A document with the elements of one array edited; `section` as `copied` has it."""
    encoding = encoding_of(upload.path)
    written = written_as(upload.path, encoding)
    yield written.mark
    for text in copied(upload.path, encoding, section, edit):
        yield written.encode(text)


def edited_lines(upload: Upload, edit: Edit) -> Iterator[bytes]:
    """A file of an object a line with the lines edited."""
    written = written_as(upload.path, encoding_of(upload.path))
    yield written.mark
    for index, text in json_lines(upload):
        body = text.rstrip("\r\n")
        new = body if index is None else edit(index, body)
        if new is not None:
            yield written.encode(new + text[len(body) :])


def json_lines(upload: Upload) -> Iterator[tuple[int | None, str]]:
    """Each line as it stands, and its position among those that are not blank; None for a blank one."""
    encoding = encoding_of(upload.path)
    positions = count()
    with (
        upload.path.open("rb") as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="") as text,
    ):
        while line := text.readline(_LONGEST_LINE):
            yield (next(positions) if line.strip() else None), line


def _edit(label: str, edits: Edits, objects: Callable[[], Iterable[tuple[int, Any]]], *, escaped: bool) -> Edit:
    """The edit of one object. `objects` yields all of the upload with their positions, as often as it is asked."""

    def spelt_at(column: str) -> dict[str, Any]:
        return spellings(((index, _value_at(one, column)) for index, one in objects()), edits)

    classes = edits.labels.values()
    spelt = {label: {name: name for name in classes} | spelt_at(label)}
    spelt |= {copy: dict.fromkeys(classes) | spelt_at(copy) for copy in edits.copies}

    def edit(index: int, text: str) -> str | None:
        if index in edits.removed:
            return None
        if index in edits.labels:
            held = _held(text)
            for column, values in spelt.items():
                if not is_blank(_value_at(held, column)):
                    text = with_value(text, column, values[edits.labels[index]], escaped=escaped)
        for column, value in zip(edits.columns, edits.values(index), strict=True):
            text = with_value(text, column, value, escaped=escaped)
        return text

    return edit


def _held(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _value_at(found: Mapping[str, Any], name: str) -> Any:
    """The value of a column: of a key, or called `outer.inner` of a member of an object in the object."""
    keys = _path(found, name)
    for key in keys:
        found = found[key]
    return found if keys else None


def _path(found: Any, name: str) -> list[str]:
    """The keys that lead to a column; none where there is no such member."""
    if not isinstance(found, Mapping):
        return []
    if name in found:
        return [name]
    for place in (place for place, mark in enumerate(name) if mark == "."):
        inner = _path(found.get(name[:place]), name[place + 1 :])
        if inner:
            return [name[:place], *inner]
    return []


def with_value(text: str, name: str, value: Any, *, escaped: bool = False) -> str:
    """The text of an object with another value of a column, which comes last where the object lacks it.

    Letters that are not ASCII are escaped where the object does so, and with `escaped`.
    """
    escaped = escaped or "\\u" in text
    new = json.dumps(value, ensure_ascii=escaped)
    key, *inner = _path(json.loads(text), name) or [name]
    found, end = _span(text, key)
    if found is not None:
        start, stop = found
        if inner:
            new = with_value(text[start:stop], name[len(key) + 1 :], value, escaped=escaped)
        return f"{text[:start]}{new}{text[stop:]}"
    empty = text[:end].endswith("{")
    return f"{text[:end]}{'' if empty else ', '}{json.dumps(key, ensure_ascii=escaped)}: {new}{text[end:]}"


def with_changes(text: str, old: Any, new: Any, write: Callable[[Any], str]) -> str:
    """The text of the JSON value `old` as that of `new`: what differs is written anew, everything else stands as it is."""
    if old == new:
        return text
    is_alike = isinstance(old, dict) and isinstance(new, dict) and list(old) == list(new)
    if not is_alike and not (isinstance(old, list) and isinstance(new, list) and len(old) == len(new)):
        return write(new)
    found, done = [], 0
    for name, start, stop in _members(text):
        found += [text[done:start], with_changes(text[start:stop], old[name], new[name], write)]
        done = stop
    return "".join([*found, text[done:]])


def _span(text: str, key: str) -> tuple[tuple[int, int] | None, int]:
    """Where the value of a key stands in the text of an object, and where its last value ends."""
    end = _past_space(text, 0) + 1
    found: tuple[int, int] | None = None
    for name, start, end in _members(text):
        if name == key:
            found = (start, end)
    return found, end


def _members(text: str) -> Iterator[tuple[Any, int, int]]:
    """Key of each member of an object, or place in an array, and where its value begins and ends in the text."""
    place = _past_space(text, 0)
    is_object = text[place] == "{"
    place, number = place + 1, count()
    while text[(place := _past_space(text, place))] not in "}]":
        name: str | int = next(number)
        if is_object:
            name, place = _DECODE(text, place)
            place = _past_space(text, _past_space(text, place) + 1)  # over the colon
        _, end = _DECODE(text, place)
        yield name, place, end
        place = _past_space(text, end)
        place += text[place] == ","


def _past_space(text: str, place: int) -> int:
    while text[place] in _SPACE:
        place += 1
    return place
