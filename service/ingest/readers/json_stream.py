"""Reads a JSON document of any size piece by piece: the elements of its top arrays and objects, each decoded whole.

ijson 3.6 (yajl2_c) was measured and does not serve as well. It takes 1.05 times the CPU time on an array of 80,000 tasks
and 1.9 times on an object of sections; it refuses integers of more than 64 bits, names no line in its errors, and its memory
grows with the square of the nesting: 20,000 brackets take 969 MB there, and 200,000 are refused at once here.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from service.ingest.encoding import BAD_BYTES, bad_byte
from service.ingest.faults import malformed
from service.ingest.readers.json_lines import sound

_CHUNK = 1 << 20
_LONGEST = 64 * 2**20  # characters of the longest piece
_SPACE = " \t\r\n"
_FILLED = re.compile(f"[^{_SPACE}]").search
_OF_NUMBERS = "0123456789.eE+-"
_DECODE = json.JSONDecoder().raw_decode


def pieces(path: Path, encoding: str) -> Iterator[tuple[str, str, Any]]:
    """Yields `(section, key, value)` of a document that is an array or an object. Raises Malformed naming the line.

    An array yields its elements, with section and key empty. In an object each key is a section: an array there yields
    its elements, an object its members with their keys, and any other value itself.
    """
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape") as text:
        cursor = Cursor(text)
        if cursor.next() == "[":
            yield from (("", "", value) for value in cursor.elements())
        elif cursor.next() == "{":
            yield from _sections(cursor)
        else:
            cursor.fail("an array or an object is expected")
        if cursor.next():
            cursor.fail("nothing is expected after the end")


def copied(path: Path, encoding: str, section: str, edit: Callable[[int, str], str | None]) -> Iterator[str]:
    """The text of a document with the elements of one array replaced by what `edit` makes of their place and text.

    `section` is the key of the array, "" where the document is the array. An element for which `edit` gives None goes, with
    its comma. Everything else is as it stands.
    """
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="") as text:
        cursor = _Copying(text)
        if cursor.next() == "[":
            yield from cursor.edited(edit)
        else:
            yield from _edited_section(cursor, section, edit)
        cursor.next()
        yield cursor.take()


def _edited_section(cursor: "_Copying", section: str, edit: Callable[[int, str], str | None]) -> Iterator[str]:
    for key in cursor.keys():  # noqa: SIM118 - not a mapping but a generator that moves on
        opening = cursor.next()
        if opening == "[":
            yield from cursor.edited(edit if key == section else lambda _place, raw: raw)
        elif opening == "{":
            for _ in cursor.keys():  # noqa: SIM118 - as above
                cursor.value()
                yield cursor.take()
        else:
            cursor.value()
        yield cursor.take()


def holds_several(path: Path, encoding: str) -> bool:
    """Whether a text is objects one after the other, of which the first is not long."""
    with path.open(encoding=encoding, errors="surrogateescape") as text:
        start = text.read(_CHUNK).lstrip(_SPACE)
    try:
        _, end = _DECODE(start)
    except (ValueError, RecursionError):
        return False
    return start.startswith("{") and start[end:].lstrip(f",{_SPACE}").startswith("{")


def objects(path: Path, encoding: str) -> Iterator[dict[str, Any]]:
    """Objects one after the other, on lines or not, with commas between them or not. Raises Malformed naming the line."""
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape") as text:
        cursor = Cursor(text)
        while cursor.next():
            value = cursor.value()
            if not isinstance(value, dict):
                cursor.fail("an object is expected")
            yield value
            cursor.pass_comma()


def _sections(cursor: "Cursor") -> Iterator[tuple[str, str, Any]]:
    for section in cursor.keys():  # noqa: SIM118 - not a mapping but a generator that moves on
        match cursor.next():
            case "[":
                yield from ((section, "", value) for value in cursor.elements())
            case "{":
                yield from ((section, key, cursor.value()) for key in cursor.keys())  # noqa: SIM118 - as above
            case _:
                yield section, "", cursor.value()


class Cursor:
    """A position in a text, which is read from the file as needed."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._text, self._place, self._lines = file, "", 0, 0

    def next(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            found = _FILLED(self._text, self._place)
            if found is not None:
                self._place = found.start()
                return found[0]
            self._place = len(self._text)
            if not self._more(_CHUNK):
                return ""

    def elements(self) -> Iterator[Any]:
        """Yields the values of the array that begins here."""
        self._skip("[")
        while self.next() != "]":
            yield self.value()
            self._between("]")
        self._skip("]")

    def keys(self) -> Iterator[str]:
        """Yields the keys of the object that begins here. The caller takes the value of a key before the next key."""
        self._skip("{")
        while self.next() != "}":
            key = self.value()
            if not isinstance(key, str):
                self.fail("a key in quotes is expected")
            self._skip(":")
            yield key
            self._between("}")
        self._skip("}")

    def value(self) -> Any:
        """The value that begins here."""
        self.next()
        while True:
            try:
                value, end = _DECODE(self._text, self._place)
            except (ValueError, RecursionError) as error:
                # The value may continue beyond the text read so far. Decoding begins anew, so each read is larger.
                held = len(self._text) - self._place
                if held > _LONGEST or isinstance(error, RecursionError) or not self._more(max(_CHUNK, held)):
                    self._broken(error)
                continue
            may_go_on = end + 3 > len(self._text) and not self._text[end : end + 3].strip(_OF_NUMBERS)
            if not may_go_on or not self._more(_CHUNK):
                piece = self._text[self._place : end]
                bad = None if piece.isascii() else BAD_BYTES.search(piece)
                if bad is not None:
                    self.fail(bad_byte(bad[0]))
                value, self._place = sound(value, piece), end
                return value  # not a number that continues beyond the text read so far

    def pass_comma(self) -> None:
        """Pass a comma, if it comes next."""
        if self.next() == ",":
            self._place += 1

    def fail(self, why: str) -> NoReturn:
        """Raise Malformed at this line."""
        line = self._lines + self._text.count("\n", 0, self._place) + 1
        raise malformed(f"line {line} is not JSON: {why}", f"line {line}")

    def _broken(self, error: Exception) -> NoReturn:
        if isinstance(error, json.JSONDecodeError):
            self._place = error.pos
            self.fail(error.msg)
        self.fail("nested too deeply" if isinstance(error, RecursionError) else str(error))

    def _skip(self, character: str) -> None:
        if self.next() != character:
            self.fail(f"{character!r} is expected")
        self._place += 1

    def _between(self, end: str) -> None:
        if self.next() == ",":
            self._place += 1
            if self.next() == end:
                self.fail("a value is expected after the comma")
        elif self.next() != end:
            self.fail(f"',' or {end!r} is expected")

    def _more(self, size: int) -> bool:
        """Read `size` characters more and drop the text before the position; False at the end of the file."""
        chunk = self._file.read(size)
        if not chunk:
            return False
        self._lines += self._text.count("\n", 0, self._place)
        self._text, self._place = self._text[self._place :] + chunk, 0
        return True


class _Copying(Cursor):
    """A cursor that gives the text that it has passed."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file)
        self._passed: list[str] = []
        self._from = 0

    def take(self) -> str:
        """The text since the last call."""
        found = "".join(self._passed) + self._text[self._from : self._place]
        self._passed, self._from = [], self._place
        return found

    def edited(self, edit: Callable[[int, str], str | None]) -> Iterator[str]:
        """The text of the array that begins here, its elements edited."""
        self._skip("[")
        yield self.take()
        place, written = 0, False
        while self.next() != "]":
            between = self.take()
            self.value()
            element = edit(place, self.take())
            if element is not None:
                yield (between if written else between.replace(",", "", 1)) + element
                written = True
            place += 1
            self._between("]")
        self._skip("]")
        yield self.take()

    def _more(self, size: int) -> bool:
        passed = self._text[self._from : self._place]
        found = super()._more(size)
        if found:
            self._passed.append(passed)
            self._from = 0
        return found
