"""What is changed in an upload, by position of its rows."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from service.domain.errors import Conflict
from service.store.seal import open_parquet

T = TypeVar("T")

ELSE = "csv, parquet and jsonl give the dataset in a form of our own"


@dataclass(frozen=True)
class Edits:
    """Changes of an upload.

    `labels` has the new class by position in the upload, `removed` the positions that go. `ids` names the samples that either
    is about, for uploads whose records have ids. `kept` yields position and class of the samples that stay as they are, in the
    order of the upload. `columns` are to be added, with the values `added` of the rows that somebody looked at. `copies` are
    columns that repeat the label, as names or codes of its classes. A value in them changes with the label of its row; it
    becomes empty where no row tells how the column writes the new class.
    """

    labels: Mapping[int, str]
    removed: frozenset[int]
    ids: Mapping[int, str]
    kept: Callable[[], Iterator[tuple[int, str]]]
    columns: tuple[str, ...] = ()
    added: Mapping[int, tuple[str | None, ...]] | None = None
    copies: tuple[str, ...] = ()

    def values(self, index: int | None) -> tuple[str | None, ...]:
        """The values of the added columns for the row at a position; of no row for None."""
        empty = (None,) * len(self.columns)
        return empty if index is None or self.added is None else self.added.get(index, empty)

    @property
    def labels_by_id(self) -> dict[str, str]:
        """The new classes by id of the sample."""
        return {self.ids[index]: label for index, label in self.labels.items()}

    @property
    def removed_ids(self) -> frozenset[str]:
        """Ids of the samples that go."""
        return frozenset(self.ids[index] for index in self.removed)


def unchanged_labels(data: Path, classes: Sequence[str], changed: frozenset[int]) -> Iterator[tuple[int, str]]:
    """Position and class of the samples of a canonical file, without those at the changed positions, in its order."""
    with open_parquet(data) as file:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group, columns=["index", "label"])
            for index, label in zip(*(table.column(name).to_pylist() for name in ("index", "label")), strict=True):
                if index not in changed:
                    yield index, classes[label]


def spellings(written: Iterable[tuple[int, Any]], edits: Edits) -> dict[str, Any]:
    """How an upload writes each new class most often: 1.0 for the class "1", "Yes" for one that is merged into "yes".

    `written` yields position and value of the label of each row, in order. A class that no unchanged row has is missing.
    """
    wanted = set(edits.labels.values())
    counts: dict[str, Counter[tuple[type, Any]]] = {name: Counter() for name in wanted}
    seen: dict[tuple[type, Any], Any] = {}
    if wanted:
        kept = edits.kept()
        position, name = next(kept, (-1, ""))
        for index, value in written:
            while 0 <= position < index:
                position, name = next(kept, (-1, ""))
            if position == index and name in counts and not is_blank(value):
                # A Counter takes no lists and objects; it takes their JSON.
                key = type(value), json.dumps(value) if isinstance(value, list | dict) else value
                seen.setdefault(key, value)
                counts[name][key] += 1
    return {name: seen[found.most_common(1)[0][0]] for name, found in counts.items() if found}


def is_blank(value: Any) -> bool:
    """Whether a row has no value in a column."""
    return value is None or (isinstance(value, str) and not value.strip())


def no_form(why: str) -> Conflict:
    """The error for an upload that cannot be given back in its own form."""
    return Conflict(f"{why}; {ELSE}", members={"formats": ["csv", "parquet", "jsonl"]})
