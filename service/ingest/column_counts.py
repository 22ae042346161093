"""Counts over one column of an upload, from which its kind is told, in bounded memory."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest import moments, numbers, values, vectors
from service.ingest.distinct import DistinctTexts, Weights
from service.ingest.numbers import Decimal
from service.ingest.values import MissingWords
from service.store import text_bytes

_SURE_OF_FORM = 1_000
EXAMPLES = 2
EXAMPLE_CHARACTERS = 80
_ODDITIES = 20
_LONGEST_SHORT = 64  # characters
_SUFFIXES = 50
_LONGEST_TRUTH = max(len(word) for pair in values.TRUTHS.items() for word in pair)
_NO_TEXTS = pa.nulls(0, pa.string())
TYPED = "typed"  # in place of a form: the column has a type of its own


@dataclass
class ColumnCounts:
    """Counts over one column's values. `missing` includes `non_finite`; rows of batches that lack it are missing.

    Numbers are counted twice, as they read with a decimal point and with a decimal comma: which one is meant, all columns of
    the file tell together.
    """

    name: str
    most_distinct: int
    missing_words: MissingWords = field(default_factory=MissingWords)
    seen: int = 0
    missing: int = 0
    null: int = 0  # missing in every sense: not even text that a label could be
    non_finite: int = 0
    numbers: int = 0  # plainly written
    whole: int = 0
    low: float = np.inf
    high: float = -np.inf
    by_point: int = 0  # numbers where the decimal mark is a point
    by_comma: int = 0
    only_by_point: int = 0  # numbers in no other way: 12.5 and 1,234.5
    only_by_comma: int = 0
    marked: int = 0  # numbers with a point or a comma that may be either: 1.234
    commas: int = 0  # numbers with commas
    units: int = 0  # numbers beside a currency or per cent sign
    suffixes: Counter[str] = field(default_factory=Counter)  # units of measurement behind numbers
    leading_zeros: int = 0  # digits that begin with a zero: 007
    marks: int = 0  # lone signs and words that stand for nothing where the others are numbers
    censored: int = 0  # bounds in place of numbers: <0.5
    truths: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    days_first: int = 0  # dates that can be read with the day first alone
    months_first: int = 0
    dates_in_digits: int = 0
    dates_with_points: int = 0
    worded_dates: int = 0  # dates whose month is a word that is not read
    times: int = 0
    lengths: Counter[int] = field(default_factory=Counter)  # of lists of numbers
    shortened: int = 0  # lists of numbers whose middle was left out
    nested: int = 0  # lists of lists of numbers, as text
    bracketed: int = 0  # texts in brackets, lists of anything
    unusable: int = 0  # structures, binaries, lists of other things
    words: int = 0
    too_many: bool = False  # different texts to count each, after `settle`
    examples: list[str] = field(default_factory=list)  # the first two texts that differ
    oddities: Counter[str] = field(default_factory=Counter)  # some of the marks and censored texts
    _counted: tuple[Any, Any] = (
        _NO_TEXTS,
        _NO_TEXTS,
    )  # the different texts, stripped, and the count of each, after `settle`
    _present: tuple[Any, Any] | None = field(default=None, compare=False)  # those that are not missing
    _is_held: bool = True  # nothing but texts came and none was looked at

    def __post_init__(self) -> None:
        self._found = DistinctTexts(self.most_distinct)
        self._first: list[str] = []  # the texts of `examples`, whole
        self._all_differed = False  # the texts of the last batch that was looked at for equal ones

    @property
    def present(self) -> int:
        """How many values are not missing."""
        return self.seen - self.missing

    @property
    def telling(self) -> int:
        """How many values are neither missing nor marks of missing, nor bounds: by these the kind is told."""
        return self.present - self.marks - self.censored

    def readable(self, decimal: Decimal) -> int:
        """How many values are numbers with this decimal mark."""
        return self.by_point if decimal == "." else self.by_comma

    @property
    def distinct(self) -> Counter[str] | None:
        """The different texts with their counts, after `settle`, missing ones among them; None where they are too many.

        A dictionary of many takes longer than to count them: `different` and `first_texts` do without.
        """
        return None if self.too_many else Counter(_as_dict(self._counted))

    def texts(self) -> dict[str, int]:
        """The different values that are not missing as a feature; empty when there are too many to count."""
        return _as_dict(self._of_feature)

    @property
    def different(self) -> int:
        """How many `texts` there are."""
        return len(self._of_feature[0])

    def first_texts(self, count: int) -> list[str]:
        """The first of `texts`."""
        found: list[str] = self._of_feature[0].slice(0, count).to_pylist()
        return found

    def differs_in_each(self, rows: int) -> bool:
        """Whether as many texts as rows were counted, missing ones among them."""
        return not self.too_many and len(self._counted[0]) >= rows

    @property
    def has_blank(self) -> bool:
        """Whether the empty text is among those that were counted."""
        return bool(pc.index(self._counted[0], "").as_py() >= 0)

    @property
    def _of_feature(self) -> tuple[Any, Any]:
        if self._present is None:
            names, counts = self._counted
            if not self.missing and not self.missing_words.own:
                return self._counted
            missing = self.missing_words.among(names)
            kept = pc.invert(missing) if pc.any(missing).as_py() else None
            self._present = (names, counts) if kept is None else (names.filter(kept), counts.filter(kept))
        return self._present

    @property
    def needs_no_text(self) -> bool:
        """Whether the next numbers can be counted without their texts: the column is fractions with decimal points, too many to list."""
        told = self.only_by_point >= _SURE_OF_FORM and self.whole < self.numbers
        return told and self._found.too_many and not self._is_held and not self.missing_words.own

    def add(self, column: Any) -> None:
        """Count one batch's values, of any Arrow type."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        self.seen += len(column)
        self.null += column.null_count
        if pa.types.is_null(kind):
            self.missing += len(column)
            return
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            self._add_texts(values.as_text(column))
            return
        self._look_at_held()
        if pa.types.is_boolean(kind):
            self._count_distinct(values.as_text(column.drop_null()))
            self.truths["true"] += len(column) - column.null_count
            self.missing += column.null_count
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            self._add_numbers(column)
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            self._count_distinct(pc.cast(column.drop_null(), pa.string()))
            self.moments[TYPED] += len(column) - column.null_count
            self.missing += column.null_count
        elif pa.types.is_time(kind):
            self._count_distinct(pc.cast(column.drop_null(), pa.string()))
            self.times += len(column) - column.null_count
            self.missing += column.null_count
        elif is_list_of_numbers(kind):
            self._add_lists(column)
        else:
            self.missing += column.null_count
            self.unusable += len(column) - column.null_count
            self.bracketed += len(column) - column.null_count if pa.types.is_list(kind) else 0

    def _add_numbers(self, column: Any) -> None:
        self._count_distinct(column.drop_null())
        found = self.missing_words.without_numbers(values.finite(pc.cast(column, pa.float64(), safe=False)))
        self.missing += found.null_count
        self.null += self._nan_count(column)
        self.non_finite += found.null_count - column.null_count
        found = found.drop_null()
        self.by_point += len(found)
        self.by_comma += len(found)
        self._measure(found, None)

    @staticmethod
    def _nan_count(column: Any) -> int:
        return (pc.sum(pc.is_nan(column)).as_py() or 0) if pa.types.is_floating(column.type) else 0

    def _add_lists(self, column: Any) -> None:
        lengths = pc.list_value_length(column).drop_null()
        self.missing += column.null_count
        for pair in pc.value_counts(lengths).to_pylist():
            self.lengths[pair["values"]] += pair["counts"]
        if len(self.examples) < EXAMPLES:
            first = next((value for value in column.slice(0, 1).to_pylist() if value is not None), None)
            self.examples += [] if first is None else [f"{len(first):,} numbers"]

    def settle(self) -> None:
        """Look at the texts that were only counted so far. Call it after the last batch."""
        texts, weights = self._found.counts()
        self._look_at_held()
        self.too_many, self._present = self._found.too_many, None
        if not self.too_many:
            self._counted = texts, pa.array(weights)

    def _look_at_held(self) -> None:
        if self._is_held:
            self._is_held = False
            texts, weights = self._found.counts()
            if len(texts):
                self._look_at(texts, weights)
        if self._found.too_many:
            self._found.forget()

    def _add_texts(self, column: Any) -> None:
        """Count the different texts of a batch. They are looked at once they are too many, or at the end."""
        present = column.drop_null()
        if self._found.too_many and not self._is_held and self._add_clean(present):
            self.missing += column.null_count
            return
        self.missing += column.null_count
        if self._found.too_many and self._all_differed:  # as ids do: to look for equal ones would gain nothing
            self._look_at(present, np.ones(len(present), np.int64))
            return
        counted = pc.value_counts(present)
        texts, weights = counted.field("values"), counted.field("counts").to_numpy()
        self._all_differed = len(texts) == len(present)
        self._merge(texts, weights)
        if not self._is_held:
            self._look_at(texts, weights)
        elif self._found.too_many:
            self._look_at_held()

    def _look_at(self, texts: Any, weights: Weights) -> None:
        """Count what different texts are, each weighted by how often it occurs."""
        if self._add_clean(texts, weights):
            return
        missing = self.missing_words.among(texts)
        self.missing += _weight(weights, missing)
        self.non_finite += _weight(weights, pc.and_(missing, values.is_one_of(texts, values.NON_FINITE)))
        texts, weights = _chosen(texts, weights, pc.invert(missing))
        found = values.finite(numbers.plain(texts))
        numeric = found.is_valid()
        self._add_plain(found.drop_null(), *_chosen(texts, weights, numeric))
        texts, weights = _chosen(texts, weights, pc.invert(numeric))
        if len(texts):
            self._add_words(texts, weights)

    def _add_clean(self, texts: Any, weights: Weights | None = None) -> bool:
        """Count texts of which each is blank or a finite number, plainly written; False, and nothing is counted, if any is not."""
        if self.missing_words.own:
            return False
        weights = np.ones(len(texts), np.int64) if weights is None else weights
        blank = text_bytes.lengths(texts) == 0
        filled, of_filled = texts, weights
        if blank.any():
            filled, of_filled = texts.filter(pa.array(~blank)), weights[~blank]
        found = numbers.all_finite(filled)
        if found is None:
            return False
        self.missing += int(weights.sum() - of_filled.sum())
        self._add_plain(found, filled, of_filled)
        return True

    def _add_plain(self, found: Any, texts: Any, weights: Weights) -> None:
        """Count plainly written numbers. Once it is sure that points are decimal, no more points are looked at."""
        if not len(texts):
            return
        whole = self.whole == self.numbers
        self._measure(found, weights)
        count = int(weights.sum())
        self.by_point += count
        if whole:
            padded, of_padded = _chosen(texts, weights, pa.array(text_bytes.may_begin_with(texts, "0", "0123456789")))
            if len(padded):
                self.leading_zeros += _weight(of_padded, numbers.matches(padded, r"^0\d+$"))
        if self.only_by_point < _SURE_OF_FORM:
            points = pc.match_substring(texts, ".")
            if pc.any(points).as_py():
                either = numbers.either_point(texts)
                only = _weight(weights, pc.and_(points, pc.invert(either)))
                self.marked += _weight(weights, either)
                self.only_by_point += only
                count -= only
        self.by_comma += count

    def _add_words(self, texts: Any, weights: Weights) -> None:
        """Count what is not plainly a number. Only a short text can be a number, a date or a mark of missing."""
        if text_bytes.lengths(texts).max(initial=0) > _LONGEST_SHORT:  # bytes, which are as many as characters or more
            short = pc.less_equal(pc.utf8_length(texts), _LONGEST_SHORT)
            self._add_prose(*_chosen(texts, weights, pc.invert(short)))
            texts, weights = _chosen(texts, weights, short)
        numeric = self._count_written(texts, weights)
        if pc.any(numeric).as_py():
            texts, weights = _chosen(texts, weights, pc.invert(numeric))
        if not len(texts):
            return
        self._add_prose(texts, weights)
        self._count_dates(texts, weights)
        self._count_suffixes(texts, weights)
        self._count_truths(texts, weights)
        marks, censored = values.is_mark(texts), values.is_censored(texts)
        self.marks += _weight(weights, marks)
        self.censored += _weight(weights, censored)
        if len(self.oddities) < _ODDITIES:
            odd, weights = _chosen(texts, weights, pc.or_(marks, censored))
            self.oddities.update(dict(zip(odd.to_pylist(), weights.tolist(), strict=True)))

    def _count_truths(self, texts: Any, weights: Weights) -> None:
        of_letter = 1 if text_bytes.is_ascii(texts) else 4  # bytes at most
        short = text_bytes.lengths(texts) <= of_letter * _LONGEST_TRUTH
        if not short.any():
            return
        lower, weights = pc.utf8_lower(texts.filter(pa.array(short))), weights[short]
        for yes, no in values.TRUTHS.items():
            self.truths[yes] += _weight(weights, pc.is_in(lower, pa.array([yes, no])))

    def _add_prose(self, texts: Any, weights: Weights) -> None:
        """Count words, and lists in brackets."""
        if not len(texts):
            return
        self.words += int((weights * values.word_counts(texts).to_numpy(zero_copy_only=False)).sum())
        self._add_spaced(*_chosen(texts, weights, numbers.matches(texts, r"^[-+]?\d", begins=numbers.DIGITS_OR_SIGN)))
        texts = vectors.bracketed(texts)
        texts, weights = _chosen(texts, weights, pc.starts_with(texts, "["))
        self.bracketed += _weight(weights, pc.ends_with(texts, "]"))
        self.nested += _weight(weights, vectors.is_nested(texts))
        texts, weights = _chosen(texts, weights, vectors.is_bracketed(texts))
        gaps = vectors.has_gap(texts)
        self.shortened += _weight(weights, gaps)
        texts, weights = _chosen(texts, weights, pc.invert(gaps))
        self._add_lengths(vectors.lengths(texts), weights)

    def _add_spaced(self, texts: Any, weights: Weights) -> None:
        """Count lists of numbers without brackets."""
        texts, weights = _chosen(texts, weights, vectors.is_spaced(texts))
        self._add_lengths(vectors.spaced_lengths(texts), weights)

    def _add_lengths(self, lengths: list[int], weights: Weights) -> None:
        for length, weight in zip(lengths, weights.tolist(), strict=True):
            self.lengths[length] += weight

    def _count_written(self, texts: Any, weights: Weights) -> Any:
        """Count numbers with marks and units, and give for each text whether it is one."""
        writings = numbers.written(texts)
        if writings.null_count == len(writings):
            return pa.repeat(False, len(writings))
        point, comma = self._count_marks(writings, weights)
        either = pc.or_(point, comma)
        if pc.any(either).as_py():
            self.by_point += _weight(weights, point)
            self.by_comma += _weight(weights, comma)
            self.units += _weight(weights, pc.and_(either, numbers.has_unit(texts)))
        return either

    def _count_suffixes(self, texts: Any, weights: Weights) -> None:
        """Count units of measurement behind numbers, and how these numbers are written."""
        units = numbers.suffixes(texts)
        if units.null_count == len(units) or len(self.suffixes) > _SUFFIXES:
            return
        texts, weights = _chosen(texts, weights, units.is_valid())
        for unit, weight in zip(units.drop_null().to_pylist(), weights.tolist(), strict=True):
            self.suffixes[unit] += weight
        self._count_marks(numbers.written(numbers.bare(texts)), weights)

    def _count_marks(self, writings: Any, weights: Weights) -> tuple[Any, Any]:
        """Count what tells the decimal mark, and give for each text whether it is a number by point, and by comma."""
        point, comma = numbers.by(writings, "."), numbers.by(writings, ",")
        self.only_by_point += _weight(weights, pc.and_(point, pc.invert(comma)))
        self.only_by_comma += _weight(weights, pc.and_(comma, pc.invert(point)))
        with_marks = numbers.matches(writings, "[.,]")
        self.marked += _weight(weights, pc.and_(pc.and_(point, comma), with_marks))
        self.commas += _weight(weights, pc.and_(pc.or_(point, comma), numbers.matches(writings, ",")))
        return point, comma

    def _count_dates(self, texts: Any, weights: Weights) -> None:
        texts = moments.tidied(texts)
        self.times += _weight(weights, moments.is_time_of_day(texts))
        self.worded_dates += _weight(weights, moments.has_worded_month(texts))
        texts, weights = _chosen(texts, weights, moments.is_date_like(texts))
        if not len(texts):
            return
        seen = [form for form, count in self.moments.items() if count]
        for form in seen if self.moments.total() > _SURE_OF_FORM else moments.MOMENT_FORMS:
            self.moments[form] += _weight(weights, moments.as_moments(texts, form).is_valid())
        self.dates_in_digits += _weight(weights, moments.is_in_digits(texts))
        self.dates_with_points += _weight(weights, moments.has_points(texts))
        self.days_first += _weight(weights, moments.order_told(texts, day_first=True))
        self.months_first += _weight(weights, moments.order_told(texts, day_first=False))

    def _measure(self, found: Any, weights: Weights | None) -> None:
        if not len(found):
            return
        array = found.to_numpy()
        counts = np.ones(len(array), np.int64) if weights is None else weights
        finite = np.isfinite(array)
        self.numbers += int(counts.sum())
        self.whole += int(counts[finite & (np.floor(array) == array)].sum())
        self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    def _count_distinct(self, column: Any) -> None:
        if not self._found.too_many:
            counted = pc.value_counts(column)
            self._merge(values.as_text(counted.field("values")), counted.field("counts").to_numpy())

    def _merge(self, texts: Any, weights: Weights) -> None:
        if self._found.too_many:
            return
        if len(self.examples) < EXAMPLES:
            # Beside null, an empty text and one that is known, two more.
            for text in texts.slice(0, EXAMPLES + 3).to_pylist():
                if text and text not in self._first and len(self.examples) < EXAMPLES:
                    self._first.append(text)
                    self.examples.append(text[:EXAMPLE_CHARACTERS])
        self._found.add(texts, weights)


def _as_dict(counted: tuple[Any, Any]) -> dict[str, int]:
    texts, counts = counted
    return dict(zip(texts.to_pylist(), counts.to_pylist(), strict=True))


def is_list_of_numbers(kind: Any) -> bool:
    """Whether an Arrow type is a vector that may be an embedding."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _mask(chosen: Any) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = chosen.to_numpy(zero_copy_only=False).astype(bool)
    return mask


def _weight(weights: Weights, chosen: Any) -> int:
    return int(weights[_mask(chosen)].sum())


def _chosen(texts: Any, weights: Weights, chosen: Any) -> tuple[Any, Weights]:
    return texts.filter(chosen), weights[_mask(chosen)]
