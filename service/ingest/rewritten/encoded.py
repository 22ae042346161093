"""Text written in the encoding that a file has, its byte order mark included."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.ingest.rewritten.edits import no_form

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


@dataclass(frozen=True)
class Written:
    """How text becomes bytes of a file: the mark at its beginning, and the encoding of the rest."""

    mark: bytes
    encode: Callable[[str], bytes]
    encoding: str

    def check(self, name: str) -> None:
        """Raise Conflict for a class that the encoding has no characters for."""
        try:
            self.encode(name)
        except UnicodeEncodeError as error:
            raise no_form(
                f"the class {name!r} cannot be written in {self.encoding}, the encoding of the file"
            ) from error


def written_as(path: Path, encoding: str) -> Written:
    """The writer for a file that was read in this encoding with "surrogateescape", which gives its bytes back."""
    with path.open("rb") as file:
        head = file.read(4)
    mark, codec = b"", encoding
    if encoding in ("utf-8-sig", "utf-16", "utf-32"):
        mark, codec = next(((mark, codec) for mark, codec in _MARKS if head.startswith(mark)), (b"", encoding))
    return Written(mark, lambda text: text.encode(codec, "surrogateescape"), encoding)
