"""Detection of text encodings, checked on the whole file, so that reading it later cannot fail."""

import codecs
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from charset_normalizer import from_bytes

from service.ingest.faults import malformed

_CHUNK = 1 << 20
_SAMPLE = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = ["cp1250", "cp1251", "cp1253", "cp1254", "cp1256", "shift_jis", "euc_jp", "gb18030", "euc_kr"]
_WESTERN = ("cp1252", "latin-1")
_FOREIGN_RUN = re.compile(rb"[\x80-\xff]+")
_SHORT_RUN = 1.8
_MOSTLY = 0.5
_CONTROLS = b"\t\n\r\f\x1a\x1b"
_NO_LETTERS = b"\x81\x8d\x8f\x90\x9d\xfe\xff"
_STRAYS = re.compile("\0|^\ufeff+", re.MULTILINE)
_FEW_CONTROLS = 0.05  # of the bytes of a text; a binary file has more, or other control characters
BAD_BYTES = re.compile("[\udc80-\udcff]+")  # how Python decodes bytes that are no UTF-8, with errors="surrogateescape"
_FOREIGN = re.compile("[^\x00-\x7f\udc80-\udcff]")


@dataclass(frozen=True)
class TextEncoding:
    """Python's name of an encoding, and what is wrong with the text.

    `bad_bytes` counts the bytes that are no UTF-8 in a text that is otherwise; they are decoded with "surrogateescape".
    `strays` says whether it holds NUL characters, or byte order marks beyond its beginning, as joined files do.
    """

    name: str
    bad_bytes: int = 0
    strays: bool = False


def refuse_bad_bytes(text: str, line: int) -> None:
    """Raise `Malformed` where a line of UTF-8 holds bytes that are none; `line` is its number."""
    bad = None if text.isascii() else BAD_BYTES.search(text)
    if bad is not None:
        raise malformed(f"line {line}: {bad_byte(bad[0])}", f"line {line}")


def bad_byte(found: str) -> str:
    """The fault of a byte that is no UTF-8, as it was decoded."""
    return f"the byte 0x{ord(found[0]) - 0xDC00:02X} is no UTF-8, as the rest of the file is; save the file as UTF-8"


def encoding_of(path: Path) -> str:
    """The name of `text_encoding`. The text is to be decoded with "surrogateescape": see `BAD_BYTES`."""
    return text_encoding(path).name


def text_encoding(path: Path) -> TextEncoding:
    """The encoding of a file. Reads the whole file once, or twice if it is not UTF-8. Raises `Malformed` where it is not text."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None) or _without_mark(head)
    if marked is not None and not marked.startswith("utf-8"):
        fault = _first_fault(path, marked)
        if fault is not None:
            raise malformed(f"the text is not valid {marked} at byte {fault:,}; save it as UTF-8", f"byte {fault}")
        return TextEncoding(marked)
    utf_8, strays = marked or "utf-8", _has_strays(path)
    fault = _first_fault(path, utf_8)
    if fault is None:
        return TextEncoding(utf_8, 0, strays)
    bad, sound = _utf_8_shares(path)
    if marked is not None or sound > bad or not _letters(_around(path, fault)):
        return TextEncoding(utf_8, bad, strays)
    found = next(name for name in _guesses(_around(path, fault)) if _first_fault(path, name) is None)
    return TextEncoding(found, 0, strays)


def _utf_8_shares(path: Path) -> tuple[int, int]:
    """How many bytes of a file are no UTF-8, and how many of its characters are and have several bytes.

    Text in another encoding has more of the first: by accident a pair of its bytes is UTF-8 one time in three at most.
    """
    bad = sound = 0
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        while chunk := text.read(_CHUNK):
            if not chunk.isascii():
                bad += sum(map(len, BAD_BYTES.findall(chunk)))
                sound += len(_FOREIGN.findall(chunk))
    return bad, sound


def _letters(sample: bytes) -> bytes:
    """The bytes of letters beyond ASCII; none where all that is no ASCII is damage: no old encoding has letters there."""
    return sample.translate(None, bytes(range(128)) + _NO_LETTERS)


def _has_strays(path: Path) -> bool:
    before = b""
    with path.open("rb") as file:
        file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk or (not (before + chunk).isascii() and codecs.BOM_UTF8 in before + chunk):
                return True
            before = chunk[1 - len(codecs.BOM_UTF8) :]
    return False


def without_strays(text: str) -> str:
    """Text without NUL characters and without byte order marks at the beginning of lines."""
    return _STRAYS.sub("", text) if "\0" in text or "\ufeff" in text else text


def utf_8_copy(path: Path, encoding: str, folder: Path) -> Path:
    """A copy in UTF-8 of a text that is valid in another encoding."""
    with (
        path.open(encoding=encoding, newline="") as text,
        NamedTemporaryFile("w", encoding="utf-8", newline="", dir=folder, delete=False) as copy,
    ):
        shutil.copyfileobj(text, copy, _CHUNK)
    return Path(copy.name)


def _guesses(sample: bytes) -> tuple[str, ...]:
    """Encodings to try in turn; the last takes any bytes.

    Accented letters stand alone in Western text and in runs elsewhere, which tells them apart more surely than the
    few bytes of a table tell the statistical detector.
    """
    runs = _FOREIGN_RUN.findall(sample)
    if sum(map(len, runs)) < _SHORT_RUN * len(runs):
        return _WESTERN
    best = from_bytes(sample, cp_isolation=_GUESSES).best()
    return (best.encoding, *_WESTERN) if best is not None else _WESTERN


def sample_text(head: bytes) -> str | None:
    """The first bytes of a file as text, for detection of its format; wrong characters are replaced. None if it is not text."""
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None) or _without_mark(head)
    others = head.translate(None, _CONTROLS + bytes(range(32, 256)))
    if marked is None and others and (len(others) > _FEW_CONTROLS * len(head) or head[0] in others):
        return None
    return head.decode(marked or "utf-8", "replace")


def _without_mark(head: bytes) -> str | None:
    """UTF-16 that does not say so: every second byte of Western text is zero."""
    if len(head) < 2 or 0 not in head:
        return None
    even, odd = head[0::2].count(0) / len(head[0::2]), head[1::2].count(0) / len(head[1::2])
    if odd > _MOSTLY and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > _MOSTLY and odd == 0 else None


def _first_fault(path: Path, encoding: str) -> int | None:
    """The position of the first byte that is not text in this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            position = file.tell() - len(chunk) - pending
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return position + error.start
            if not chunk:
                return None


def _around(path: Path, position: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, position - _SAMPLE // 2))
        return file.read(_SAMPLE)
