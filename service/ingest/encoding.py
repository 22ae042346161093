"""Detection of text encodings, checked on the whole file, so that reading it later cannot fail."""

import codecs
import re
from pathlib import Path

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


def encoding_of(path: Path) -> str:
    """Python's name of the encoding of a file. Reads the whole file once. Raises `Malformed` where it is not text."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None) or _without_mark(head)
    if marked is not None:
        fault = _first_fault(path, marked)
        if fault is not None:
            raise malformed(f"the text is not valid {marked} at byte {fault:,}; save it as UTF-8", f"byte {fault}")
        return marked
    fault = _first_fault(path, "utf-8")
    if fault is None:
        return "utf-8"
    return next(name for name in _guesses(_around(path, fault)) if _first_fault(path, name) is None)


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
    if marked is None and any(byte < 32 and byte not in _CONTROLS for byte in head):
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
