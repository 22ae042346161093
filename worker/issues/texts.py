"""Texts that are damaged, or unlike the other texts of a dataset: empty, short, long, with markup, or in another script.

Damaged is what has characters that no writer means: U+FFFD, control characters, or UTF-8 that was read as Windows-1252 ("cafÃ©"). Markup, another
script and lengths are reported where they are exceptions: what many texts have is how these texts are.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from worker.issues.data_issue import DataIssue
from worker.issues.inputs import TrainingSamples
from worker.issues.lengths import far_out

_TAGS = "a|b|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|script|span|strong|style|table|tbody|td|th|tr|ul"
_MARKUP = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>|&(?:amp|lt|gt|quot|nbsp|#\d{{2,5}}|#x[0-9a-fA-F]{{2,4}});", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# Bytes of UTF-8 as Windows-1252 reads them, and Latin 1 where that has no character: two, three or four, by the first.
_NOT_IN_1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
_FOLLOWING = "".join(chr(one) if one in _NOT_IN_1252 else bytes([one]).decode("cp1252") for one in range(0x80, 0xC0))
_MISREAD = re.compile("[Â-ß][{0}]|[à-ï][{0}]{{2}}|[ð-ô][{0}]{{3}}".format(re.escape(_FOLLOWING)))
# One of these is enough. Others may be a word in capitals with a mark behind it, and are damage where the text has two and nothing else beyond ASCII.
_SURELY_MISREAD = re.compile("[ÂÃ][{0}]|â€[{0}]|ï»¿|ï¿½|ðŸ[{0}]{{2}}".format(re.escape(_FOLLOWING)))
_EXCEPTION = 0.1  # share of the texts, up to which markup is an exception
_USUAL = 0.95  # share of the texts that are in one script, from which on another one is an exception
_TIMES = 10.0  # the median, and a tenth of it: lengths beyond are exceptions where they are far out, too
_FEWEST = 50  # texts that tell what is usual
_SCRIPTS = (
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "TAMIL", "TELUGU",
    "KANNADA", "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR", "GEORGIAN", "HANGUL", "ETHIOPIC", "KHMER", "MONGOLIAN",
    "HIRAGANA", "KATAKANA", "CJK",
)  # fmt: skip
_ALIKE = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}  # Japanese mixes them
_PLANE = 0x10000
_EXAMINED = 2_000  # characters of a text whose script is determined


def text_faults(samples: TrainingSamples, texts: Iterable[str], examined: npt.NDArray[np.int64]) -> DataIssue:
    """Damaged and exceptional texts; `texts` are those of the samples at the places `examined`. Score: their share, 0 to 1."""
    measured = _Measured.of(texts)
    reasons = list(_reasons(measured))
    flagged = [place for place, reason in enumerate(reasons) if reason]
    counts: dict[str, int] = {}
    for place in flagged:
        for reason in reasons[place]:
            counts[reason] = counts.get(reason, 0) + 1
    detail = "No text is damaged, or unlike the others."
    if flagged:
        reported = (f"{reason} {count:,}" for reason, count in sorted(counts.items(), key=lambda one: -one[1]))
        detail = f"Texts by what is the matter with them: {', '.join(reported)}."
    listed = [samples.sample(int(examined[place]), detail=", ".join(reasons[place])) for place in flagged]
    return DataIssue("text", len(flagged) / max(len(examined), 1), len(flagged), detail, listed, found=bool(flagged))


@dataclass(frozen=True)
class _Measured:
    """Of each text: characters, whether it has a letter or digit, whether it is damaged, whether it has markup, and its script."""

    lengths: npt.NDArray[np.int64]
    filled: npt.NDArray[np.bool_]
    damaged: npt.NDArray[np.bool_]
    markup: npt.NDArray[np.bool_]
    scripts: npt.NDArray[np.int8]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "_Measured":
        lengths, filled, damaged, markup, scripts = [], [], [], [], []
        for text in texts:
            lengths.append(len(text))
            filled.append(any(map(str.isalnum, text)))
            damaged.append(is_damaged(text))
            markup.append(("<" in text or "&" in text) and _MARKUP.search(text) is not None)
            scripts.append(script_of(text))
        return cls(
            np.array(lengths, np.int64),
            np.array(filled, bool),
            np.array(damaged, bool),
            np.array(markup, bool),
            np.array(scripts, np.int8),
        )


def _reasons(texts: _Measured) -> Iterator[list[str]]:
    """What is the matter with each text; nothing with most."""
    flags = [("empty", ~texts.filled), ("damaged characters", texts.damaged)]
    if len(texts.lengths) >= _FEWEST:
        if texts.markup.mean() <= _EXCEPTION:
            flags.append(("markup", texts.markup))
        known = texts.scripts >= 0
        counts = np.bincount(texts.scripts[known], minlength=1)
        if counts.max() >= _USUAL * known.sum():
            flags.append(("another script", known & (texts.scripts != counts.argmax())))
        flags += _lengths(texts)
    found = np.array([flag for _, flag in flags])
    for column in found.T:
        yield [name for (name, _), is_so in zip(flags, column.tolist(), strict=True) if is_so]


def _lengths(texts: _Measured) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    short, long = far_out(np.maximum(texts.lengths, 1), texts.filled, _TIMES)
    return [("very short", short & texts.filled), ("very long", long)]


def is_damaged(text: str) -> bool:
    """Whether a text has characters that no writer means."""
    if "\ufffd" in text or _CONTROL.search(text):
        return True
    if text.isascii():
        return False
    rest, misread = _MISREAD.subn("", text)
    return _SURELY_MISREAD.search(text) is not None or (misread > 1 and rest.isascii())


def script_of(text: str) -> int:
    """The script of most letters of a text, by its place in the table; -1 where there is no letter, or no known script."""
    if text.isascii():
        return 0 if any(map(str.isalpha, text)) else -1
    codes = np.frombuffer(text[:_EXAMINED].encode("utf-32-le", "replace"), np.uint32)
    scripts = _script_table()[np.minimum(codes, _PLANE - 1)]
    counts = np.bincount(scripts[scripts >= 0])
    return int(counts.argmax()) if len(counts) else -1


@cache
def _script_table() -> npt.NDArray[np.int8]:
    """The script of each character of the first plane that is a letter; -1 for others."""
    places = {name: place for place, name in enumerate(_SCRIPTS)}
    found = np.full(_PLANE, -1, np.int8)
    for code in range(_PLANE):
        if chr(code).isalpha():
            name = unicodedata.name(chr(code), "").partition(" ")[0]
            found[code] = places.get(_ALIKE.get(name, name), -1)
    return found
