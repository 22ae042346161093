"""Frames of pandas."""

from collections.abc import Iterator
from datetime import date
from numbers import Real
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from usual_suspects.client.submissions import intervals
from usual_suspects.client.submissions.labels_beside import free_name, one_each
from usual_suspects.client.submissions.parquet import ROWS, read_table, write_batches
from usual_suspects.client.submissions.prepared import LABEL, Origin, Prepared, UnsuitableData, package

_CANNOT = (pa.ArrowException, NotImplementedError, OverflowError, TypeError, ValueError)


def write_pandas(frame: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    """A pandas frame. Its index goes along, so that it can be given back.

    The index names the samples where it has one level and differs in every row, unless it is the default one without a name. Names
    of columns that are numbers or dates become texts, as intervals do. Raises UnsuitableData.
    """
    pandas = package("pandas", "a pandas frame")
    beside = None
    if y is not None:
        beside = label or LABEL
        frame = frame.assign(**{free_name(beside, map(str, frame.columns)): _aligned(pandas, y, frame)})
    template, index = frame.iloc[:0], frame.index
    default = isinstance(index, pandas.RangeIndex) and index.name is None
    frame, names = _with_texts_as_names(pandas, frame)
    frame = _without_intervals(pandas, frame)
    try:
        schema = pa.Schema.from_pandas(frame, preserve_index=True)
    except _CANNOT as error:
        raise _unsuitable(frame, error) from error
    levels = schema.names[len(frame.columns) :]
    named = not default and len(levels) == 1 and index.is_unique and not index.hasnans

    def batches() -> Iterator[Any]:
        for start in range(0, len(frame), ROWS):
            part = frame.iloc[start : start + ROWS]
            yield from pa.Table.from_pandas(part, schema=schema, preserve_index=True).combine_chunks().to_batches()

    path = folder / "frame.parquet"
    ranged = [index.start, index.step] if default else None
    mark = {"range": ranged, "label": beside, "categories": _categories(frame), "names": names}
    try:
        write_batches(path, schema, batches(), form="pandas", **mark)
    except (pa.ArrowException, NotImplementedError) as error:
        raise _unsuitable(frame, error) from error
    options: dict[str, Any] = {"id": levels[0]} if named else {"exclude": levels}
    places = range(index.start, index.stop, index.step) if default else None
    origin = Origin("pandas", template=template, label=beside, places=places)
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
        _restore_types(pandas, frame, origin.template)
    label = origin.label or mark.get("label")
    labels = None if label is None else frame.pop(label)
    frame = _with_own_names(frame, mark.get("names", {}), origin.template)
    return frame if labels is None else (frame, labels)


def _aligned(pandas: Any, y: Any, frame: Any) -> Any:
    """Labels in the order of the rows: by the index where both have the same, else by position where that is what is meant."""
    y = one_each(y, len(frame))
    if not isinstance(y, pandas.Series):
        return y if isinstance(y, pandas.Index | pandas.Categorical) or not hasattr(y, "to_numpy") else y.to_numpy()
    if not y.index.equals(frame.index):
        if y.index.is_unique and frame.index.is_unique and y.index.isin(frame.index).all():
            return y.reindex(frame.index)
        if not (isinstance(y.index, pandas.RangeIndex) and y.index.equals(pandas.RangeIndex(len(y)))):
            raise UnsuitableData(
                "the index of y is not that of the frame: give y.reindex(frame.index), or y.to_numpy() where the rows stand in one order"
            )
    return y.set_axis(frame.index)


def _with_texts_as_names(pandas: Any, frame: Any) -> tuple[Any, dict[str, Any]]:
    """The frame with texts as names of columns and of levels of the index, and those that are numbers by their texts."""
    if frame.columns.nlevels > 1:
        raise UnsuitableData(
            "the columns have several levels: join them, as with frame.set_axis(frame.columns.map('_'.join), axis=1)"
        )
    columns = [_text_of(name) for name in frame.columns]
    doubled = pandas.Index(columns)[pandas.Index(columns).duplicated()]
    if len(doubled):
        raise UnsuitableData(f"the frame has several columns {doubled[0]!r}: rename all but one")
    levels = [name if name is None else _text_of(name) for name in frame.index.names]
    numbers: dict[Any, Any] = {
        text: name.item() if hasattr(name, "item") else name
        for text, name in zip([*columns, *levels], [*frame.columns, *frame.index.names], strict=True)
        if isinstance(name, Real)
    }
    if not numbers and all(isinstance(name, str) for name in frame.columns):
        return frame, {}
    found = frame.set_axis(pandas.Index(columns, name=frame.columns.name), axis=1)
    return found.set_axis(found.index.set_names(levels)), numbers


def _text_of(name: Any) -> str:
    if isinstance(name, str):
        return name
    if type(name) is not bool and isinstance(name, Real | date) and name == name:
        return str(name)
    raise UnsuitableData(f"a column or level of the index is called {name!r}: give it a text as its name")


def _with_own_names(frame: Any, names: dict[str, Any], template: Any) -> Any:
    """The frame with the names that were no texts."""
    if template is not None:
        names = names | {str(name): name for name in template.columns if not isinstance(name, str)}
    if names:
        frame.columns = frame.columns.map(lambda name: names.get(name, name)).infer_objects()
        frame.index.names = [names.get(name, name) for name in frame.index.names]
    return frame


def _without_intervals(pandas: Any, frame: Any) -> Any:
    for name, kind in frame.dtypes.items():
        if intervals.has_intervals(kind):
            frame = frame.assign(**{name: intervals.as_texts(frame[name])})
    if intervals.has_intervals(frame.index.dtype):
        texts = pandas.Index(intervals.as_texts(frame.index.to_series()).array, name=frame.index.name)
        return frame.set_axis(texts)
    return frame


def _restore_types(pandas: Any, frame: Any, template: Any) -> None:
    for own, kind in template.dtypes.items():
        name = str(own)
        if name not in frame.columns or frame[name].dtype == kind:
            continue
        if intervals.has_intervals(kind):
            frame[name] = intervals.from_texts(frame[name], kind)
        else:
            frame[name] = frame[name].astype(_with_classes(kind, frame[name]))
    kind = template.index.dtype
    if intervals.has_intervals(kind):
        frame.index = pandas.Index(intervals.from_texts(frame.index.to_series(), kind).array, name=frame.index.name)


def _unsuitable(frame: Any, error: Exception) -> UnsuitableData:
    """The error of data that cannot be written, with the name of the first column that cannot."""
    where, cure = "a column of the frame", ".astype(str)"
    for name, column in [
        *frame.items(),
        ("the index", frame.index.to_frame(index=False, name=range(frame.index.nlevels))),
    ]:
        try:
            given = column.to_frame("") if hasattr(column, "to_frame") else column.set_axis(map(str, column), axis=1)
            pq.write_table(pa.Table.from_pandas(given, preserve_index=False), pa.BufferOutputStream())
        except _CANNOT as found:
            of_index = column.ndim > 1
            where = name if of_index else f"column {name!r} of the frame"
            cure = "frame.index.astype(str)" if of_index else f"frame[{name!r}].astype(str)"
            error = found
            break
    return UnsuitableData(
        f"{where} mixes types, or has one that Parquet cannot hold: {error.args[0]}; convert it, as with {cure}"
    )


def _categories(frame: Any) -> dict[str, Any]:
    """Categories of columns, which a Parquet file keeps only as far as they occur, where they are texts or whole numbers."""
    kinds = {name: kind for name, kind in frame.dtypes.items() if hasattr(kind, "categories")}
    lists = {name: (kind.categories.tolist(), kind.ordered) for name, kind in kinds.items()}
    return {name: found for name, found in lists.items() if all(type(value) in (str, int) for value in found[0])}


def _with_classes(kind: Any, values: Any) -> Any:
    """The type; a category that a corrected label needs is added."""
    if not hasattr(kind, "categories"):
        return kind
    new = [value for value in values.dropna().unique() if value not in kind.categories]
    return type(kind)([*kind.categories, *new], kind.ordered) if new else kind
