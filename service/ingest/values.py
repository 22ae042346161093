"""Reading of values: missing values, splits, booleans, texts. Both passes use these functions.

They take whole Arrow columns. Texts are stripped of surrounding spaces first. Numbers, dates and lists of numbers have modules of their own.
"""

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest import numbers
from service.store import text_bytes

# In the features of text tables, which have no null of their own. They are compared in lower case.
USUAL_WORDS = ("", "?", "na", "n/a", "<na>", "#n/a", "null", "none", "nil", "nan", "-nan", "+nan", "nat", "\\n",
               "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")  # fmt: skip
NON_FINITE = ("nan", "-nan", "+nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
# Among numbers and dates alone, in any source: a lone sign, a spreadsheet's error, a word for nothing.
_MARK = (
    "(?i)^(\\\\N|[-\u2013\u2014_.*?\u2026/]+|#(N/?A|NULL!|DIV/0!|VALUE!|REF!|NAME[?]|NUM!|SPILL!|CALC!)|na|n/a|n[.]a[.]|<na>|null|"
    "none|nil|nan|nat|n[.]d[.]|missing|unknown|not available|not applicable)$"
)
_MARK_STARTS = text_bytes.starts("\\-_.*?/#<nmu")
_CENSORED = "^(<=?|>=?|\u2264|\u2265|~|\u2248) ?[0-9.,]+$"
_CENSORED_STARTS = text_bytes.starts("<>~")

TRUTHS = {"true": "false", "yes": "no", "t": "f", "y": "n", "on": "off"}

_SPLITS = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
# Words that stand beside them, as in train_set, seg_test or training_images, also without a mark between.
_BESIDE_SPLIT = (
    "public|private|set|sets|data|dataset|images?|imgs?|pictures|photos|files|samples|folder|dir|seg|split|part"
)
_SPLIT = re.compile(rf"({'|'.join(sorted(_SPLITS, key=len, reverse=True))})({_BESIDE_SPLIT})?\d*")

_UUID_BYTES = 16
# Scripts that are written without spaces between the words.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_CHARACTERS_OF_WORD = 2
_FEW_WORDS = 3
_NAME_OF_ROW = r"(?i)^([0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{16,}|[a-z]{0,5}[-_#./ ]*\d[-_./\d]*[a-z]?)$"


@dataclass(frozen=True)
class MissingWords:
    """Texts that mean a missing value: the usual words of text tables, and the client's own, which are compared exactly."""

    usual: bool = False
    own: tuple[str, ...] = ()

    def among(self, texts: Any) -> Any:
        """Whether each stripped text means a missing value; an empty one always does."""
        found = is_one_of(texts, USUAL_WORDS if self.usual else ("",))
        return (
            pc.or_(found, pc.fill_null(pc.is_in(texts, pa.array(self.own, pa.string())), False)) if self.own else found
        )

    def without(self, texts: Any) -> Any:
        """The texts with null in place of missing ones."""
        return pc.if_else(self.among(texts), pa.scalar(None, pa.string()), texts)

    def without_numbers(self, found: Any) -> Any:
        """Numbers with null in place of the client's own words that are numbers: -999."""
        if not self.own:
            return found
        own = [number.as_py() for number in numbers.plain(pa.array(self.own, pa.string())) if number.is_valid]
        if not own:
            return found
        return pc.if_else(pc.is_in(found, pa.array(own, pa.float64())), pa.scalar(None, found.type), found)


def split_name(text: str) -> str | None:
    """train, validation or test, for the usual words, alone or beside a word such as set or images; None for any other."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.strip())
    words = re.split(r"[\s_.-]+", apart.lower().replace("hold_out", "holdout").replace("hold-out", "holdout"))
    found = [match for word in words if (match := _SPLIT.fullmatch(word))]
    others = sum(1 for word in words if word and re.fullmatch(rf"({_BESIDE_SPLIT})?\d*", word))
    if len(found) != 1 or len(found) + others < sum(1 for word in words if word):
        return None
    return _SPLITS[found[0].group(1)]


def as_text(column: Any) -> Any:
    """Any scalar column as stripped text; whole floats without a point; null stays null."""
    texts = as_whole_text(column)
    return texts if text_bytes.is_trimmed(texts) else pc.utf8_trim_whitespace(texts)


def as_whole_text(column: Any) -> Any:
    """Any scalar column as text with the spaces around it; whole floats without a point; null stays null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_fixed_size_binary(column.type):
        return pa.array([None if value is None else _written(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0*$", "")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([value and value.decode("utf-8", "replace") for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(column.type):
        written = [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
        return pa.array(written, pa.string())
    return pc.cast(column, pa.string())


def _written(value: bytes) -> str:
    return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()


def is_one_of(texts: Any, words: tuple[str, ...]) -> Any:
    """Whether each text is one of the words, in any case; null is not."""
    if not text_bytes.may_start(texts, _starts(words)).any():
        return _none(len(texts))
    return pc.fill_null(pc.is_in(_lower(texts), pa.array(words)), False)


@cache
def _starts(words: tuple[str, ...]) -> text_bytes.Starts:
    return text_bytes.starts((word[0] for word in words if word), empty="" in words)


def _none(count: int) -> Any:
    return pa.array(np.zeros(count, bool))


def _lower(texts: Any) -> Any:
    """Each text in lower case; what is all ASCII is much quicker."""
    return pc.ascii_lower(texts) if text_bytes.is_ascii(texts) else pc.utf8_lower(texts)


def without(texts: Any, words: tuple[str, ...]) -> Any:
    """The texts with null in place of each of the words."""
    return pc.if_else(is_one_of(texts, words), pa.scalar(None, pa.string()), texts)


def are_finite(numbers: Any) -> bool:
    """Whether surely no number is NaN or infinite, which their sum tells at once; False where large ones add up to infinity."""
    return math.isfinite(pc.sum(numbers).as_py() or 0.0)


def finite(numbers: Any) -> Any:
    """Numbers with null in place of NaN and infinities."""
    if are_finite(numbers):
        return numbers
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, numbers.type))


def is_mark(texts: Any) -> Any:
    """Whether each text stands for a missing value where the others are numbers or dates: a lone sign, #DIV/0!, unknown."""
    return numbers.matches(texts, _MARK, begins=_MARK_STARTS)


def is_censored(texts: Any) -> Any:
    """Whether each text is a bound in place of a number: <0.5."""
    return numbers.matches(texts, _CENSORED, begins=_CENSORED_STARTS)


def word_counts(texts: Any) -> Any:
    """Number of words of each text: by spaces; in texts with few, by runs of letters and characters of unspaced scripts.

    Two characters of a script without spaces count as a word. A text that is a number with a prefix, or a hash, is one word.
    """
    if text_bytes.have_one_word(texts):
        return pa.repeat(pa.scalar(1, pa.int32()), len(texts))
    spaced = pc.add(pc.count_substring(texts, " "), 1)
    if (pc.mean(spaced).as_py() or 0) >= _FEW_WORDS:
        return spaced
    one_word = numbers.matches(texts, _NAME_OF_ROW)
    if pc.all(one_word).as_py():
        return pa.repeat(pa.scalar(1, spaced.type), len(texts))
    if text_bytes.is_ascii(texts):
        found = pc.max_element_wise(spaced, pc.count_substring_regex(texts, "[A-Za-z]{2,}"))
    else:
        runs = pc.count_substring_regex(texts, r"\p{L}{2,}")
        unspaced = pc.divide(pc.count_substring_regex(texts, _UNSPACED), _CHARACTERS_OF_WORD)
        found = pc.max_element_wise(spaced, runs, pc.cast(unspaced, runs.type))
    return pc.if_else(one_word, pa.scalar(1, found.type), found)
