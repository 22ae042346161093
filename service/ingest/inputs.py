"""Conversion of one input column of a batch to its canonical type, with a reason for each row that cannot be used."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest import images, moments, numbers, values, vectors
from service.ingest.kinds import Input
from service.ingest.limits import Limits
from service.ingest.values import MissingWords


class RowFaults:
    """Reasons why rows of a batch are skipped; the first reason of a row is kept."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._reasons: dict[int, str] = {}

    def mark(self, positions: Iterable[int], reason: str) -> None:
        """Skip the rows at these positions."""
        for position in positions:
            self._reasons.setdefault(int(position), reason)

    def where(self, chosen: Any, reason: str) -> None:
        """Skip the rows for which a boolean Arrow column is true."""
        self.mark(np.flatnonzero(chosen.to_numpy(zero_copy_only=False)), reason)

    def kept(self) -> Any:
        """Boolean Arrow column: whether a row has no fault."""
        mask = np.ones(self._rows, bool)
        mask[list(self._reasons)] = False
        return pa.array(mask)

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(sorted(self._reasons.items()))


def convert(
    column: Any, one: Input, words: MissingWords, limits: Limits, faults: RowFaults, looks: dict[int, images.Look]
) -> Any:
    """The canonical values of a column; a missing value is null, or a fault where the row cannot be used without it.

    `looks` gets what the images show, by position in the batch.
    """
    match one.kind:
        case "numeric":
            return _numbers(column, one, words)
        case "categorical":
            return words.without(values.as_text(column))
        case "boolean":
            return _truths(column, one.truth, words)
        case "datetime":
            return _moments(column, one.forms, words)
        case "time":
            return _times(column, words)
        case "embedding":
            return _vectors(column, one.width, faults)
        case "image":
            return _images(column, limits, faults, looks)
        case "text":
            return _texts(column, words, faults)


def is_plain(one: Input, words: MissingWords) -> bool:
    """Whether an input's numbers, plainly written, mean what they say, so that nobody needs to see their texts."""
    return one.kind == "numeric" and one.decimal == "." and not one.unit and not words.own


def _numbers(column: Any, one: Input, words: MissingWords) -> Any:
    if _is_text(column):
        texts = values.as_text(column)
        if is_plain(one, words):
            # No finite number is a word for a missing value.
            found = numbers.all_finite(pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts))
            if found is not None:
                return found
        texts = words.without(texts)
        texts = numbers.without_suffix(texts, one.unit) if one.unit else texts
        return values.finite(numbers.as_numbers(texts, one.decimal))
    return words.without_numbers(values.finite(pc.cast(column, pa.float64(), safe=False)))


def _truths(column: Any, truth: str, words: MissingWords) -> Any:
    if pa.types.is_boolean(column.type):
        return column
    texts = pc.utf8_lower(words.without(values.as_text(column)))
    known = pc.is_in(texts, pa.array([truth, values.TRUTHS[truth]]))
    return pc.if_else(known, pc.equal(texts, truth), pa.scalar(None, pa.bool_()))


def _moments(column: Any, forms: tuple[str, ...], words: MissingWords) -> Any:
    if _is_text(column):
        return moments.first_moments(words.without(values.as_text(column)), forms)
    return moments.within_calendar(pc.cast(column, pa.timestamp("us"), safe=False))


def _times(column: Any, words: MissingWords) -> Any:
    if _is_text(column):
        return moments.as_times(words.without(values.as_text(column)))
    return pc.cast(column, pa.time64("us"), safe=False)


def _texts(column: Any, words: MissingWords, faults: RowFaults) -> Any:
    texts = pc.cast(column, pa.string()) if _is_text(column) else values.as_text(column)
    stripped = pc.utf8_trim_whitespace(texts)
    own = MissingWords(own=words.own)  # a text may well be the word none
    faults.where(pc.or_(pc.invert(texts.is_valid()), own.among(stripped)), "no text")
    return texts


def _images(column: Any, limits: Limits, faults: RowFaults, looks: dict[int, images.Look]) -> Any:
    column = pc.cast(column, pa.binary())
    mended: dict[int, bytes] = {}
    for position, value in enumerate(column):
        data = value.as_py()
        look = images.look_at(data, limits)
        if look.fault and data and (without := images.without_texts(data)) != data:
            again = images.look_at(without, limits)
            if not again.fault:
                look, mended[position] = again, without
        if look.fault:
            faults.mark([position], look.fault)
        looks[position] = look
    if mended:
        found = [mended.get(position) or value.as_py() for position, value in enumerate(column)]
        column = pa.array(found, column.type)
    return column


def _vectors(column: Any, width: int, faults: RowFaults) -> Any:
    if _is_text(column):
        column = vectors.parsed(pc.cast(column, pa.string()))
    faults.where(column.is_null(), "no embedding, or one that is no list of numbers")
    lengths = pc.list_value_length(column)
    wrong = pc.fill_null(pc.not_equal(lengths, width), False)
    for position in np.flatnonzero(wrong.to_numpy(zero_copy_only=False)).tolist():
        faults.mark([position], f"an embedding of {lengths[position]} numbers, the others have {width}")
    right = pc.fill_null(pc.equal(lengths, width), False)
    rows: npt.NDArray[np.float32] = np.zeros((len(column), width), np.float32)
    flat = pc.list_flatten(column.filter(right)).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        rows[right.to_numpy(zero_copy_only=False)] = flat.astype(np.float32).reshape(-1, width)
    faults.mark(
        np.flatnonzero(~np.isfinite(rows).all(axis=1)), "the embedding has a number that is missing or infinite"
    )
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), width)


def _is_text(column: Any) -> bool:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )
