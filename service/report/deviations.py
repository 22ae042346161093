"""Values of rows of a table that are rare in the class that each row is labelled with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import DatasetInfo, Feature
from service.store.seal import open_parquet

_ROWS = 40_000  # rows that are compared with, taken from row groups all over the file
_FEATURES = 100
_FEWEST = 30  # rows of a class below which nothing is called rare
_RARE = 0.02
_CATEGORIES = ("categorical", "boolean")


@dataclass(frozen=True)
class Deviation:
    """A value of a row that at most 2 % of its class reach or share; `share` is that part, `words` say so."""

    feature: str
    value: Any
    share: float
    words: str


def deviations(data: Path, dataset: DatasetInfo, positions: Collection[int]) -> Mapping[int, Sequence[Deviation]]:
    """The deviations of the rows at these positions of the canonical file, the rarest first; none for other data."""
    features = [one for one in dataset.features if one.kind in ("numeric", *_CATEGORIES)][:_FEATURES]
    if dataset.modality != "tabular" or not features or not positions:
        return {}
    compared, rows = _read(data, [one.column for one in features], sorted(set(positions)))
    given = np.asarray(compared["label"])
    # A class is looked at once, whichever number of rows is compared with it.
    classes = {
        label: {one.column: _values(one, same) for one in features}
        for label in sorted({row["label"] for row in rows.values()})
        for same in [compared.filter(pa.array(given == label))]
    }
    found = {}
    for position, row in rows.items():
        same, name = classes[row["label"]], dataset.classes[row["label"]]
        ones = [one for f in features if (one := _deviation(f.name, row[f.column], same[f.column], name))]
        found[position] = sorted(ones, key=lambda one: one.share)
    return found


def _read(data: Path, columns: Sequence[str], positions: Sequence[int]) -> tuple[pa.Table, dict[int, dict[str, Any]]]:
    """Rows to compare with, and the rows at `positions`. Each row group is read once at most."""
    rows: dict[int, dict[str, Any]] = {}
    compared, start = [], 0
    with open_parquet(data) as file:
        groups = file.metadata.num_row_groups
        step = -(-file.metadata.num_rows // _ROWS)
        for group in range(groups):
            end = start + file.metadata.row_group(group).num_rows
            asked = [position for position in positions if start <= position < end]
            if asked or group % step == 0:
                table = file.read_row_group(group, columns=["label", *columns])
                places = pa.array([position - start for position in asked], pa.int64())
                found = table.take(places).to_pylist()
                rows |= dict(zip(asked, found, strict=True))
                compared += [table] if group % step == 0 else []
            start = end
    return pa.concat_tables(compared), rows


@dataclass(frozen=True)
class _Values:
    """What the rows of a class have of a feature: sorted numbers, or how often there is each category."""

    count: int
    numbers: npt.NDArray[Any] | None
    categories: Mapping[Any, int]


def _values(feature: Feature, same: pa.Table) -> _Values:
    column = same[feature.column].drop_null()
    if feature.kind in _CATEGORIES:
        counted = {one["values"]: one["counts"] for one in column.value_counts().to_pylist()}
        return _Values(len(column), None, counted)
    return _Values(len(column), np.sort(column.to_numpy()), {})


def _deviation(feature: str, value: Any, same: _Values, name: str) -> Deviation | None:
    if value is None or same.count < _FEWEST:
        return None
    if same.numbers is None:
        share = same.categories.get(value, 0) / same.count
        return Deviation(feature, value, share, _of(share, name)) if share <= _RARE else None
    above = (same.count - int(np.searchsorted(same.numbers, value, "left"))) / same.count
    below = int(np.searchsorted(same.numbers, value, "right")) / same.count
    if min(above, below) > _RARE:
        return None
    side = "higher" if above < below else "lower"
    share = min(above, below)
    return Deviation(feature, value, share, f"{side} than {100 * min(1 - share, 0.999):.3g} % of {name}")


def _of(share: float, name: str) -> str:
    return f"{100 * share:.2g} % of {name}" if share >= 0.001 else f"rare in {name}"
