"""Frames of pandas and polars, and tables of Arrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from usual_suspects.client.submissions.parquet import ROWS, batches_of, read_table, write_batches
from usual_suspects.client.submissions.prepared import LABEL, Origin, Prepared, UnsuitableData, package


def write_pandas(frame: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    """A pandas frame. Its index goes along, so that it can be given back.

    The index names the samples where it has one level and differs in every row, unless it is the default one without a name.
    """
    pandas = package("pandas", "a pandas frame")
    beside = None
    if y is not None:
        beside = label or LABEL
        frame = frame.assign(**{_free(beside, frame.columns): y.to_numpy() if hasattr(y, "to_numpy") else y})
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise UnsuitableData(f"the frame has several columns {doubled[0]!r}: rename all but one")
    index = frame.index
    default = isinstance(index, pandas.RangeIndex) and index.name is None
    try:
        schema = pa.Schema.from_pandas(frame, preserve_index=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, NotImplementedError) as error:
        raise UnsuitableData(f"a column of the frame mixes types: {error}; convert it, as with .astype(str)") from error
    levels = schema.names[len(frame.columns) :]
    named = not default and len(levels) == 1 and index.is_unique and not index.hasnans

    def batches() -> Iterator[Any]:
        for start in range(0, len(frame), ROWS):
            part = frame.iloc[start : start + ROWS]
            yield from pa.Table.from_pandas(part, schema=schema, preserve_index=True).combine_chunks().to_batches()

    path = folder / "frame.parquet"
    ranged = [index.start, index.step] if default else None
    write_batches(path, schema, batches(), form="pandas", range=ranged, label=beside, categories=_categories(frame))
    options: dict[str, Any] = {"id": levels[0]} if named else {"exclude": levels}
    origin = Origin("pandas", template=frame.iloc[:0], label=beside)
    return Prepared(path, origin, "frame", options | ({"label": beside} if beside else {}))


def read_pandas(path: Path, origin: Origin) -> Any:
    """The frame of a Parquet file with the index and the types that it had; with its labels beside it where they came so."""
    pandas = package("pandas", "a pandas frame")
    table, mark = read_table(path)
    frame = table.to_pandas()
    ranged = mark.get("range")
    if ranged:
        whole = pandas.RangeIndex(ranged[0], ranged[0] + len(frame) * ranged[1], ranged[1])
        frame.index = whole if frame.index.equals(whole) else frame.index.rename(None)
    for name, (values, ordered) in mark.get("categories", {}).items():
        if name in frame.columns and list(getattr(frame[name].dtype, "categories", ())) != values:
            frame[name] = frame[name].astype(_with_classes(pandas.CategoricalDtype(values, ordered), frame[name]))
    if origin.template is not None:
        for name, kind in origin.template.dtypes.items():
            if name in frame.columns and frame[name].dtype != kind:
                frame[name] = frame[name].astype(_with_classes(kind, frame[name]))
    label = origin.label or mark.get("label")
    return frame if label is None else (frame.drop(columns=label), frame[label])


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
        frame = frame.with_columns(polars.Series(_free(beside, frame.columns), y))
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
        table = pa.Table.from_batches(batches, schema).append_column(_free(beside, schema.names), pa.array(y))
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
        table, form = pa.table({"text": x, beside: list(y)}), "texts"
    write_batches(path, table.schema, table.to_batches(), form=form, label=beside)
    return Prepared(path, Origin(form, label=beside), "table", {"label": beside} if beside else {})


def read_lists(path: Path, origin: Origin) -> Any:
    """Rows as dictionaries, or texts and their labels."""
    table, mark = read_table(path)
    label = origin.label or mark.get("label")
    return table.to_pylist() if label is None else (table.column("text").to_pylist(), table.column(label).to_pylist())


def _free(name: str, taken: Any) -> str:
    if name in taken:
        raise UnsuitableData(
            f"the data have a column {name!r} already: leave `y` out, or name another column by `label`"
        )
    return name


def _categories(frame: Any) -> dict[str, Any]:
    """Categories of columns, which a Parquet file keeps only as far as they occur, where they are texts or whole numbers."""
    kinds = {str(name): kind for name, kind in frame.dtypes.items() if hasattr(kind, "categories")}
    lists = {name: (kind.categories.tolist(), kind.ordered) for name, kind in kinds.items()}
    return {name: found for name, found in lists.items() if all(type(value) in (str, int) for value in found[0])}


def _with_classes(kind: Any, values: Any) -> Any:
    """The type; a category that a corrected label needs is added."""
    if not hasattr(kind, "categories"):
        return kind
    new = [value for value in values.dropna().unique() if value not in kind.categories]
    return type(kind)([*kind.categories, *new], kind.ordered) if new else kind
