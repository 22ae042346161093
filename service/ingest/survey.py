"""First pass over an upload: counts over each column of the whole file, in bounded memory."""

import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.dataset import SkippedRow
from service.ingest import fingerprints, values
from service.ingest.fingerprints import Fingerprints, Hashes
from service.ingest.limits import Limits
from service.ingest.source import RowSource

_ID_NAME = re.compile(
    r"(?i)(unnamed[_: ]*\d+|__index_level_0__|(.*[_\s.-])?(id|ids|uid|uuid|guid)|key|index|idx|name|row|rowid|"
    r"file_?name|path)"
)
_CAMEL_ID = re.compile(r".*[a-z0-9]I[dD]")
_MOST_DISTINCT = 10_000
_MOST_DISTINCT_CHARACTERS = 16 * 2**20
_MOST_IDS = 16
_SURE_OF_FORM = 1_000


def is_id_name(name: str) -> bool:
    """Whether a column may name samples, by its own name."""
    return bool(_ID_NAME.fullmatch(name) or _CAMEL_ID.fullmatch(name))


@dataclass
class ColumnCounts:
    """Counts over one column's values. `missing` includes `non_finite`; rows of batches that lack it are missing."""

    name: str
    most_distinct: int
    seen: int = 0
    missing: int = 0
    null: int = 0  # missing in every sense: not even text that a label could be
    non_finite: int = 0
    numbers: int = 0
    whole: int = 0
    low: float = np.inf
    high: float = -np.inf
    commas: int = 0  # texts that are no number but for their commas
    comma_forms: Counter[str] = field(default_factory=Counter)  # how many of all texts are numbers, by form
    truths: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)  # of lists of numbers
    bracketed: int = 0  # texts in brackets, lists of anything
    unusable: int = 0  # structures, binaries, lists of other things
    words: int = 0
    distinct: Counter[str] | None = field(default_factory=Counter)  # stripped texts; None: too many
    characters: int = 0  # of the distinct texts

    @property
    def present(self) -> int:
        """How many values are not missing."""
        return self.seen - self.missing

    def readable(self, form: str) -> int:
        """How many values are numbers, with commas read as a form of `values.comma_forms` has them, or without any."""
        return self.comma_forms[form] if form else self.numbers

    def texts(self) -> dict[str, int]:
        """The different values that are not missing as a feature; empty when there are too many to count."""
        counted: dict[str, int] = self.distinct or {}
        return {text: count for text, count in counted.items() if text.lower() not in values.MISSING}

    def add(self, column: Any) -> None:
        """Count one batch's values, of any Arrow type."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        self.seen += len(column)
        self.null += column.null_count
        if pa.types.is_null(kind):
            self.missing += len(column)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            self._add_texts(values.as_text(column))
        elif pa.types.is_boolean(kind):
            self._count_distinct(values.as_text(column.drop_null()))
            self.truths["true"] += len(column) - column.null_count
            self.missing += column.null_count
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            self._add_numbers(column)
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            self._count_distinct(pc.cast(column.drop_null(), pa.string()))
            self.moments["typed"] += len(column) - column.null_count
            self.missing += column.null_count
        elif is_list_of_numbers(kind):
            self._add_lists(column)
        else:
            self.missing += column.null_count
            self.unusable += len(column) - column.null_count
            self.bracketed += len(column) - column.null_count if pa.types.is_list(kind) else 0

    def _add_numbers(self, column: Any) -> None:
        self._count_distinct(column.drop_null())
        numbers = values.finite(pc.cast(column, pa.float64(), safe=False))
        self.missing += numbers.null_count
        self.non_finite += numbers.null_count - column.null_count
        self._measure(numbers.drop_null(), None)

    def _add_lists(self, column: Any) -> None:
        lengths = pc.list_value_length(column).drop_null()
        self.missing += column.null_count
        for pair in pc.value_counts(lengths).to_pylist():
            self.lengths[pair["values"]] += pair["counts"]

    def _add_texts(self, column: Any) -> None:
        """Work on the different texts of the batch, each weighted by how often it occurs."""
        counted = pc.value_counts(column.drop_null())
        texts, weights = counted.field("values"), counted.field("counts").to_numpy()
        self._merge(texts, weights)
        missing = values.is_one_of(texts, values.MISSING)
        self.missing += column.null_count + _weight(weights, missing)
        self.non_finite += _weight(weights, values.is_one_of(texts, values.NON_FINITE))
        present = pc.invert(missing)
        texts, weights = texts.filter(present), weights[present.to_numpy(zero_copy_only=False)]
        numbers = values.finite(values.as_numbers(texts))
        numeric = numbers.is_valid()
        self._measure(numbers.drop_null(), weights[numeric.to_numpy(zero_copy_only=False)])
        others = pc.invert(numeric)
        self._count_commas(texts, weights, others)
        texts, weights = texts.filter(others), weights[others.to_numpy(zero_copy_only=False)]
        if len(texts):
            self._add_words(texts, weights)

    def _count_commas(self, texts: Any, weights: npt.NDArray[np.int64], others: Any) -> None:
        """Count numbers by their use of commas. Numbers without one count too: next to 1.5, 5,6 is no decimal fraction."""
        with_commas = pc.match_substring(texts, ",")
        if pc.any(with_commas).as_py():
            self.commas += _weight(weights, pc.and_(others, with_commas))
            fits = values.comma_forms(texts)
        else:
            numeric = pc.invert(others)
            fits = {"thousands": numeric, "decimal": pc.and_(numeric, pc.invert(pc.match_substring(texts, ".")))}
        for form, fitting in fits.items():
            self.comma_forms[form] += _weight(weights, fitting)

    def _add_words(self, texts: Any, weights: npt.NDArray[np.int64]) -> None:
        lower = pc.utf8_lower(texts)
        for yes, no in values.TRUTHS.items():
            self.truths[yes] += _weight(weights, pc.is_in(lower, pa.array([yes, no])))
        vectors = values.is_vector(texts)
        lengths = pc.add(pc.count_substring(texts.filter(vectors), ","), 1).to_pylist()
        for length, weight in zip(lengths, weights[vectors.to_numpy(zero_copy_only=False)], strict=True):
            self.lengths[length] += int(weight)
        self.bracketed += _weight(weights, pc.and_(pc.starts_with(texts, "["), pc.ends_with(texts, "]")))
        self.words += int((weights * (pc.count_substring(texts, " ").to_numpy() + 1)).sum())
        dates = values.is_date_like(texts)
        date_texts, date_weights = texts.filter(dates), weights[dates.to_numpy(zero_copy_only=False)]
        if len(date_texts):
            seen = [form for form, count in self.moments.items() if count]
            for form in seen if self.moments.total() > _SURE_OF_FORM else values.MOMENT_FORMS:
                self.moments[form] += _weight(date_weights, values.as_moments(date_texts, form).is_valid())

    def _measure(self, numbers: Any, weights: npt.NDArray[np.int64] | None) -> None:
        if not len(numbers):
            return
        array = numbers.to_numpy()
        counts = np.ones(len(array), np.int64) if weights is None else weights
        finite = np.isfinite(array)
        self.numbers += int(counts.sum())
        self.whole += int(counts[finite & (np.floor(array) == array)].sum())
        self.low, self.high = min(self.low, float(array.min())), max(self.high, float(array.max()))

    def _count_distinct(self, column: Any) -> None:
        if self.distinct is not None:
            counted = pc.value_counts(column)
            self._merge(values.as_text(counted.field("values")), counted.field("counts").to_numpy())

    def _merge(self, texts: Any, weights: npt.NDArray[np.int64]) -> None:
        if self.distinct is None:
            return
        for text, weight in zip(texts.to_pylist(), weights.tolist(), strict=True):
            if text not in self.distinct:
                self.characters += len(text)
            self.distinct[text] += weight
        if len(self.distinct) > self.most_distinct or self.characters > _MOST_DISTINCT_CHARACTERS:
            self.distinct = None


def is_list_of_numbers(kind: Any) -> bool:
    """Whether an Arrow type is a vector that may be an embedding."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _weight(weights: npt.NDArray[np.int64], chosen: Any) -> int:
    return int(weights[chosen.to_numpy(zero_copy_only=False).astype(bool)].sum())


@dataclass(frozen=True)
class Survey:
    """Counts over a whole upload, by column."""

    rows: int
    columns: dict[str, ColumnCounts]
    repeats: dict[str, tuple[int, int] | None]  # of columns that may be ids: positions of a value that occurs twice
    first_skipped: SkippedRow | None


def survey_columns(source: RowSource, id_column: str | None, limits: Limits, scratch: Path) -> Survey:
    """Read everything but images once. Raises what the reader raises, and `TooLarge`."""
    with ExitStack() as stack:
        return _surveyed(source, id_column, limits, scratch, stack)


def _surveyed(source: RowSource, id_column: str | None, limits: Limits, scratch: Path, stack: ExitStack) -> Survey:
    columns: dict[str, ColumnCounts] = {}
    ids: dict[str, Fingerprints] = {}
    rows = size = 0
    first_skipped: SkippedRow | None = None
    id_column = source.id if source.ids_hold else id_column
    for batch in source.batches(False):
        size += batch.rows.nbytes
        limits.check_size(size)
        first_skipped = first_skipped or next(iter(batch.skipped), None)
        for name, values_ in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            if name not in columns:
                limits.check_columns(len(columns) + 1)
                columns[name] = ColumnCounts(name, max(_MOST_DISTINCT, limits.max_classes))
                named = name == id_column or (is_id_name(name) and len(ids) < _MOST_IDS)
                if named and _is_scalar(values_.type):
                    ids[name] = stack.enter_context(Fingerprints(scratch / f"ids-{len(ids)}"))
                    ids[name].add(_unlike_any(0, rows))
            columns[name].add(values_)
            if name in ids:
                ids[name].add(_id_fingerprints(values_, rows))
        rows += batch.rows.num_rows
        for name in ids.keys() - set(batch.rows.schema.names):
            ids[name].add(_unlike_any(rows - batch.rows.num_rows, rows))
    for column in columns.values():
        column.missing, column.null = column.missing + rows - column.seen, column.null + rows - column.seen
        column.seen = rows
    repeats = {name: prints.first_repeat() for name, prints in ids.items()}
    return Survey(rows, columns, repeats, first_skipped)


def _is_scalar(kind: Any) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _id_fingerprints(column: Any, start: int) -> Hashes:
    texts = values.without(values.as_text(column), ("",))
    hashes = fingerprints.of_objects(texts.to_pylist())
    return np.where(texts.is_null().to_numpy(zero_copy_only=False), _unlike_any(start, start + len(texts)), hashes)


def _unlike_any(start: int, stop: int) -> Hashes:
    """Fingerprints for rows without a value, each its own."""
    return fingerprints.mixed(np.arange(start, stop, dtype=np.uint64))
