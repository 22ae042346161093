"""What was changed in an upload on the way to a corrected dataset, sample by sample, and who said so."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.store.seal import open_parquet

_SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("id", pa.string()),
        ("label", pa.string()),
        ("previous_label", pa.string()),
        ("decision", pa.string()),
        ("reviewed_by", pa.string()),
    ]
)


@dataclass(frozen=True)
class Amendment:
    """The change of one sample.

    `index` is its position in the upload, `label` its class now, None where it was removed, `previous_label` its class in the
    upload. `decision` is relabel, keep, remove, plausible, unsure or suggestion; `reviewed_by` is None for a suggestion.
    """

    index: int
    id: str
    label: str | None
    previous_label: str
    decision: str
    reviewed_by: str | None

    @property
    def changes(self) -> bool:
        """Whether the sample is not as the upload has it."""
        return self.label != self.previous_label


def followed(earlier: Iterable[Amendment], later: Iterable[Amendment]) -> list[Amendment]:
    """The amendments of a dataset that was corrected again, by position: the later ones hold, and the first labels stay known."""
    found = {one.index: one for one in earlier}
    for one in later:
        known = found.get(one.index)
        previous = known.previous_label if known is not None else one.previous_label
        found[one.index] = Amendment(one.index, one.id, one.label, previous, one.decision, one.reviewed_by)
    return [found[index] for index in sorted(found)]


def write_amendments(path: Path, amendments: Iterable[Amendment]) -> None:
    """Write a file of amendments."""
    pq.write_table(pa.Table.from_pylist([asdict(one) for one in amendments], _SCHEMA), path)


def read_amendments(path: Path) -> list[Amendment] | None:
    """The amendments of a dataset, by position; None where they were not written down. Raises Damaged."""
    if not path.exists():
        return None
    with open_parquet(path) as file:
        return [Amendment(**row) for row in file.read().to_pylist()]
