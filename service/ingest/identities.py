"""Ids and labels of the rows of a canonical file, read without their inputs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.dataset import CanonicalHeader
from service.ingest.row_groups import opened
from service.store.seal import open_parquet


@dataclass(frozen=True)
class Identity:
    """Id and label of one row; `label` is the name of the class."""

    id: str
    label: str


def identities(data: Path, positions: Sequence[int]) -> list[Identity]:
    """The rows at these 0-based positions of the canonical file, in the order asked for."""
    found: dict[int, Identity] = {}
    with opened(data) as (file, groups):
        classes = CanonicalHeader.from_metadata(file.schema_arrow.metadata).classes
        for group, places in groups.of(positions).items():
            rows = file.read_row_group(group, columns=["id", "label"]).take([row for _, row in places]).to_pylist()
            found |= {
                asked: Identity(row["id"], classes[row["label"]]) for (asked, _), row in zip(places, rows, strict=True)
            }
    return [found[asked] for asked in range(len(positions))]


def ids_at(data: Path, positions: npt.NDArray[Any]) -> pa.ChunkedArray:
    """The ids of the rows at these 0-based positions, in that order."""
    with open_parquet(data) as file:
        return file.read(columns=["id"]).column("id").take(pa.array(positions))


def missing_ids(data: Path, ids: Iterable[str]) -> list[str]:
    """Those of `ids` that no row has, each once, in the order given."""
    absent = dict.fromkeys(ids)
    with open_parquet(data) as file:
        for group in range(file.metadata.num_row_groups):
            for found in file.read_row_group(group, columns=["id"]).column("id").to_pylist():
                absent.pop(found, None)
    return list(absent)


def splits_of(data: Path) -> tuple[npt.NDArray[Any], list[str]]:
    """The split of each row, as a place among the names that are given with it: int32 n."""
    with open_parquet(data) as file:
        column = file.read(columns=["split"]).column("split").combine_chunks().dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.indices.to_numpy(zero_copy_only=False), column.dictionary.to_pylist()


def labels_of(data: Path, *, split: str | None = None, ids: Iterable[str] | None = None) -> dict[str, str]:
    """The classes of the rows of a split, or of the rows with these ids, by id."""
    named = None if ids is None else frozenset(ids)
    found: dict[str, str] = {}
    with open_parquet(data) as file:
        classes = CanonicalHeader.from_metadata(file.schema_arrow.metadata).classes
        for group in range(file.metadata.num_row_groups):
            for row in file.read_row_group(group, columns=["id", "label", "split"]).to_pylist():
                if (split is None or row["split"] == split) and (named is None or row["id"] in named):
                    found[row["id"]] = classes[row["label"]]
    return found


def class_sizes(data: Path, split: str) -> list[int]:
    """How many rows of a split each class has; classes without one are left out."""
    found: Counter[int] = Counter()
    with open_parquet(data) as file:
        for group in range(file.metadata.num_row_groups):
            rows = file.read_row_group(group, columns=["label", "split"])
            found.update(rows.filter(pc.equal(rows["split"], split)).column("label").to_pylist())
    return list(found.values())
