"""Datasets of Hugging Face's library."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from usual_suspects.client.submissions.parquet import read_table, write_batches
from usual_suspects.client.submissions.prepared import Origin, Prepared, UnsuitableData, package

_ROWS = 1000
_SPLIT = "split"


def write_dataset(data: Any, folder: Path) -> Prepared:
    """A Dataset, an IterableDataset, or a dictionary of them by split; classes keep their names, images become part of the file."""
    parts = data if isinstance(data, Mapping) else {None: data}
    first = next(iter(parts.values()), None)
    if first is None:
        raise UnsuitableData("the DatasetDict has no splits")
    split = _SPLIT if isinstance(data, Mapping) else None
    if split and first.column_names and split in first.column_names:
        raise UnsuitableData(f"a dataset of the DatasetDict has a column {split!r} of its own: rename it")
    path = folder / "dataset.parquet"
    batches = _batches(parts)
    ahead = next(batches, None)
    if ahead is None:
        raise UnsuitableData("the dataset is empty")

    def every() -> Iterator[Any]:
        yield ahead
        yield from batches

    write_batches(path, ahead.schema, every(), form="datasets", split=split)
    return Prepared(path, Origin("datasets"), "dataset", {"split": split} if split else {})


def read_dataset(path: Path, _origin: Origin) -> Any:
    """The Dataset, or DatasetDict, of a Parquet file."""
    datasets = package("datasets", "a Hugging Face dataset")
    table, mark = read_table(path)
    split = mark.get("split")
    if split is None:
        return _dataset(datasets, table)
    names = dict.fromkeys(table.column(split).to_pylist())
    return datasets.DatasetDict(
        {
            name: _dataset(datasets, table.filter(pa.compute.equal(table.column(split), name)).drop_columns(split))
            for name in names
        }
    )


def _dataset(datasets: Any, table: Any) -> Any:
    return datasets.Dataset(datasets.table.InMemoryTable(table))


def _batches(parts: Mapping[Any, Any]) -> Iterator[Any]:
    from datasets.table import embed_table_storage

    for name, part in parts.items():
        for table in part.with_format("arrow").iter(batch_size=_ROWS):
            embedded = embed_table_storage(table)
            if name is not None:
                embedded = embedded.append_column(_SPLIT, pa.array([str(name)] * len(embedded), pa.string()))
            yield from embedded.combine_chunks().to_batches()
