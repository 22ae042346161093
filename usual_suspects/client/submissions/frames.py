"""Frames of polars, tables of Arrow, and lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from usual_suspects.client.submissions.labels_beside import as_arrow, free_name, one_each
from usual_suspects.client.submissions.parquet import ROWS, batches_of, read_table, write_batches
from usual_suspects.client.submissions.prepared import LABEL, Origin, Prepared, UnsuitableData, package


def write_polars(frame: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    """A polars DataFrame; a LazyFrame is computed in a stream."""
    polars = package("polars", "a polars frame")
    path, beside = folder / "frame.parquet", None
    if isinstance(frame, polars.LazyFrame):
        if y is not None:
            raise UnsuitableData("a LazyFrame holds its labels: add them as a column and name it by `label`")
        frame.sink_parquet(path)
        return Prepared(path, Origin("polars-lazy", template=frame.collect_schema()), "frame")
    if y is not None:
        beside = label or LABEL
        labels = polars.Series(free_name(beside, frame.columns), as_arrow(one_each(y, frame.height)))
        frame = frame.with_columns(labels)
    level = polars.CompatLevel.oldest()

    def batches() -> Iterator[Any]:
        for start in range(0, frame.height, ROWS):
            yield from frame.slice(start, ROWS).to_arrow(compat_level=level).combine_chunks().to_batches()

    schema = frame.clear().to_arrow(compat_level=level).schema
    write_batches(path, schema, batches(), form="polars", label=beside)
    return Prepared(
        path, Origin("polars", template=frame.schema, label=beside), "frame", {"label": beside} if beside else {}
    )


def read_polars(path: Path, origin: Origin) -> Any:
    """The frame of a Parquet file with the types that it had; lazy where it was."""
    polars = package("polars", "a polars frame")
    table, mark = read_table(path)
    frame = polars.from_arrow(table)
    if origin.template is not None:
        kinds = {name: kind for name, kind in origin.template.items() if name in frame.columns}
        frame = frame.cast({name: kind for name, kind in kinds.items() if frame.schema[name] != kind})
    label = origin.label or mark.get("label")
    if label is not None:
        return frame.drop(label), frame[label]
    return frame.lazy() if origin.form == "polars-lazy" else frame


def write_arrow(data: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    """An Arrow table, batch, reader or dataset, or anything that exports an Arrow stream."""
    path = folder / "table.parquet"
    schema, batches = batches_of(data)
    beside = None
    if y is not None:
        beside = label or LABEL
        table = pa.Table.from_batches(batches, schema)
        table = table.append_column(free_name(beside, schema.names), as_arrow(one_each(y, table.num_rows)))
        schema, batches = table.schema, table.to_batches(max_chunksize=ROWS)
    write_batches(path, schema, batches, form="arrow", label=beside)
    return Prepared(path, Origin("arrow", template=schema, label=beside), "table", {"label": beside} if beside else {})


def read_arrow(path: Path, origin: Origin) -> Any:
    """The table of a Parquet file, with the schema that it had."""
    table, mark = read_table(path)
    if origin.template is not None and origin.template.names == table.schema.names:
        table = table.cast(origin.template).replace_schema_metadata(origin.template.metadata)
    label = origin.label or mark.get("label")
    return table if label is None else (table.drop_columns(label), table.column(label))


def write_lists(x: list[Any], y: Any, label: str | None, folder: Path) -> Prepared:
    """Texts with labels beside them, or rows that are dictionaries."""
    path = folder / "table.parquet"
    if y is None:
        table, form, beside = pa.Table.from_pylist(x), "rows", None
    else:
        beside = label or LABEL
        table, form = pa.table({"text": x, beside: as_arrow(one_each(y, len(x)))}), "texts"
    write_batches(path, table.schema, table.to_batches(), form=form, label=beside)
    return Prepared(path, Origin(form, label=beside), "table", {"label": beside} if beside else {})


def read_lists(path: Path, origin: Origin) -> Any:
    """Rows as dictionaries, or texts and their labels."""
    table, mark = read_table(path)
    label = origin.label or mark.get("label")
    return table.to_pylist() if label is None else (table.column("text").to_pylist(), table.column(label).to_pylist())
