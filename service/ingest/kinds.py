"""The kind of an input column, decided from its counts."""

from dataclasses import dataclass

from service.domain.dataset import FeatureKind
from service.ingest.survey import ColumnCounts

_NEARLY_ALL = 0.99
_MOSTLY_VECTORS = 0.9
_CATEGORIES = 1_000
_WORDS_OF_TEXT = 3


@dataclass(frozen=True)
class Input:
    """One input column and how its values are read; `name` is that of the upload, `column` that of the canonical file."""

    name: str
    kind: FeatureKind
    column: str
    form: str = ""  # of moments, or of numbers with commas
    truth: str = ""  # the word for true
    width: int = 0  # of an embedding


def kind_of(column: ColumnCounts, rows: int) -> Input | None:
    """How a column is read, without its canonical name yet; None where nothing can be learnt from it."""
    name, present = column.name, column.present
    if column.unusable or not present:
        return None
    vectors = column.lengths.total()
    if vectors >= _MOSTLY_VECTORS * present:
        width = column.lengths.most_common(1)[0][0]
        return Input(name, "embedding", "", width=width) if width else None
    if column.numbers >= _NEARLY_ALL * present:
        return Input(name, "numeric", "")
    # Of two forms that read as much the first is meant: 1,234 and 5,678 alone are thousands.
    form, count = max(column.comma_forms.items(), key=lambda pair: pair[1], default=("", 0))
    if column.commas and count >= _NEARLY_ALL * present:
        return Input(name, "numeric", "", form=form)
    truth, count = max(column.truths.items(), key=lambda pair: pair[1], default=("", 0))
    if count == present:
        return Input(name, "boolean", "", truth=truth)
    form, count = max(column.moments.items(), key=lambda pair: pair[1], default=("", 0))
    if count >= _NEARLY_ALL * present:
        return Input(name, "datetime", "", form=form)
    different = len(column.texts()) if column.distinct is not None else None
    if different is None or is_prose(column):
        return Input(name, "text", "")
    return Input(name, "categorical" if different <= _CATEGORIES or different <= rows / 2 else "text", "")


def is_prose(column: ColumnCounts) -> bool:
    """Whether most values are several words, and most of them different."""
    wordy = column.words >= _WORDS_OF_TEXT * column.present
    return wordy and (column.distinct is None or len(column.texts()) > column.present / 2)


def is_constant(column: ColumnCounts) -> bool:
    """Whether all values that are there are the same."""
    if column.numbers == column.present:
        return column.low == column.high
    return column.distinct is not None and len(column.texts()) == 1 and not column.lengths
