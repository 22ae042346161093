"""A canonical file under the client's names, some rows at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.domain.dataset import CanonicalHeader, DatasetInfo
from service.ingest.amendments import Amendment
from service.ingest.source import free_name
from service.store.seal import open_parquet

ADDED = ("previous_label", "reviewed_by")


@dataclass(frozen=True)
class View:
    """What of a dataset is written: its canonical file, its names, and what was changed in it by position.

    `amendments` is None for datasets of which that was not written down; `columns` are of `ADDED`. With `raw` texts of CSV
    stay as they are, also where a spreadsheet would compute them.
    """

    data: Path
    info: DatasetInfo
    amendments: Mapping[int, Amendment] | None
    columns: tuple[str, ...] = ()
    raw: bool = False

    def rows(self, *, images: bool = False) -> Iterator[Any]:
        """Tables of a row group each: id, split, group and path where there are any, inputs, label, then `columns`.

        An image is a structure of bytes and path with `images`, and left out without.
        """
        with open_parquet(self.data) as file:
            header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
            for group in range(file.metadata.num_row_groups):
                wanted = [name for name in file.schema_arrow.names if images or name != "image"]
                yield self._named(file.read_row_group(group, columns=wanted), header)

    def identities(self) -> Iterator[list[tuple[int, str, str]]]:
        """Position in the upload, path (or id, where there is none) and class of each sample, a row group at a time."""
        for table, header in self._groups("index", "id", "path", "label"):
            paths = table.column("path" if "path" in table.schema.names else "id").to_pylist()
            labels = [header.classes[number] for number in table.column("label").to_pylist()]
            yield list(zip(table.column("index").to_pylist(), paths, labels, strict=True))

    def pictures(self) -> Iterator[dict[str, Any]]:
        """Path (or id), split, class and image of each sample."""
        for table, header in self._groups("id", "path", "label", "split", "image"):
            for row in table.to_pylist():
                yield {**row, "path": row.get("path") or row["id"], "label": header.classes[row["label"]]}

    def _groups(self, *columns: str) -> Iterator[tuple[Any, CanonicalHeader]]:
        with open_parquet(self.data) as file:
            header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
            wanted = [name for name in columns if name in file.schema_arrow.names]
            for group in range(file.metadata.num_row_groups):
                yield file.read_row_group(group, columns=wanted), header

    def _named(self, table: Any, header: CanonicalHeader) -> Any:
        names = _Names(self.info)
        columns: dict[str, Any] = {names.of("id"): table.column("id")}
        if self.info.splits.keys() != {"train"}:
            columns[names.of("split")] = table.column("split")
        for own in ("group", "path"):
            if own in table.schema.names:
                columns[names.of(own)] = table.column(own)
        for one in header.features:
            if one["column"] in table.schema.names:
                columns[one["name"]] = _input(table, one["column"])
        labels = pc.take(pa.array(header.classes, pa.string()), table.column("label").combine_chunks())
        columns[names.of("label")] = labels
        if self.columns:
            known = [(self.amendments or {}).get(index) for index in table.column("index").to_pylist()]
            previous = [
                label if one is None else one.previous_label
                for one, label in zip(known, labels.to_pylist(), strict=True)
            ]
            who = [None if one is None else one.reviewed_by for one in known]
            for name in self.columns:
                values = previous if name == "previous_label" else who
                columns[names.free(name)] = pa.array(values, pa.string())
        return pa.table(columns)


class _Names:
    """Names of columns as the client has them, each once."""

    def __init__(self, info: DatasetInfo) -> None:
        self._by_role: dict[str, str] = {
            one.role: one.name for one in info.columns if one.role not in ("input", "left_out")
        }
        self._by_role.setdefault("label", info.inferred.label or "label")
        self._taken = {one.name for one in info.features}

    def of(self, role: str) -> str:
        """The column of a role: as the client calls it, else by the name of the role."""
        return self.free(self._by_role.get(role, "file_name" if role == "path" else role))

    def free(self, name: str) -> str:
        """The name, or one like it where a column has it already."""
        name = free_name(name, self._taken)
        self._taken.add(name)
        return name


def _input(table: Any, column: str) -> Any:
    values = table.column(column).combine_chunks()
    if column != "image":
        return values
    paths = (
        table.column("path").combine_chunks() if "path" in table.schema.names else table.column("id").combine_chunks()
    )
    return pa.StructArray.from_arrays([values, paths], ["bytes", "path"])
