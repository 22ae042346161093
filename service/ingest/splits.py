"""Columns that say to which part of the data a sample belongs."""

from collections.abc import Mapping

from service.domain.dataset import ClientWarning
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import bad_spec

_NAMES = ("split", "subset", "fold", "partition", "set", "usage")
_MOST_SPLITS = 100


def guess_split(columns: Mapping[str, ColumnCounts], label: str) -> str | None:
    """The column that is named like a split and whose values are all names of splits."""
    by_name = {name.strip().lower(): column for name, column in columns.items() if name != label}
    for name in _NAMES:
        texts = by_name[name].texts() if name in by_name else {}
        if texts and all(values.split_name(text) for text in texts):
            return by_name[name].name
    return None


def check_splits(column: ColumnCounts, name: str) -> list[ClientWarning]:
    """A warning where no row is for training. Raises Invalid for a column with too many values."""
    if column.too_many or column.different > _MOST_SPLITS:
        raise bad_spec("split", f"{name!r} has too many different values to be a split: train, validation, test …")
    texts = column.texts()
    if not any(values.split_name(text) == "train" for text in texts) and column.missing == 0:
        detail = f"no row of {name!r} says train, but {', '.join(sorted(texts))}"
        return [ClientWarning(code="no_train_split", detail=detail)]
    return []
