"""Export files of Label Studio: JSON (tasks), JSON_MIN and CSV (one row per annotation). Pure.

An export has no label config: an alias is read as a class, and the input is found from the data.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from service.domain.dataset import DatasetSpec, Modality
from service.platforms.annotations import Annotation
from service.platforms.files import (
    Records,
    SkippedRecord,
    ToolSample,
    ToolTable,
    annotated_samples,
    first_records,
    flatten,
    image_column,
    map_records,
    no_classes,
    only_column,
    scan_records,
)
from service.platforms.label_studio import Control, read_annotations

_OWN = ("id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time")
_ROW_MARKS = {"id", "annotation_id", "annotator", "lead_time"}
_USUAL = ("label", "labels", "choice", "choices", "class", "category", "sentiment", "topic")
_FEW = 100  # different values that classes may have


def is_task(record: Mapping[str, Any]) -> bool:
    """Whether a record is a task of the JSON export."""
    return isinstance(record.get("data"), dict) and isinstance(record.get("annotations"), list)


def is_row(record: Mapping[str, Any]) -> bool:
    """Whether a record is a row of JSON_MIN or CSV."""
    return set(record) >= _ROW_MARKS


def tasks(records: Records, spec: DatasetSpec) -> ToolTable:
    """The JSON export. Raises Invalid where it has no choices, or several Choices tags and none is named."""
    tags: dict[str, Counter[str]] = {}
    kinds: Counter[str] = Counter()
    for item in scan_records(records, _results):
        kinds[str(item.get("type"))] += 1
        if item.get("type") == "choices" and item.get("from_name"):
            tags.setdefault(str(item["from_name"]), Counter())[str(item.get("to_name"))] += 1
    if not tags:
        found = f"its results are {', '.join(kinds)}" if kinds else "no task is annotated"
        raise no_classes(f"the export has no choices, so no classes: {found}")
    name = only_column(tags, spec, "Choices tag")
    data = [task["data"] for task in first_records(records) if isinstance(task.get("data"), dict)]
    field = _field(data, tags[name].most_common(1)[0][0])
    control = Control(name, "", (), {}, "", field or "", url=False)
    rows = [_values(one, field) for one in data]
    image = image_column(rows)
    columns = (image,) if image is not None else tuple(dict.fromkeys(column for row in rows for column in row))

    def read(number: str, task: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        values = _values(task.get("data") or {}, field)
        if any(value not in (None, "") for value in values.values()):
            yield from annotated_samples(number, values, read_annotations(task, control), spec)
        else:
            yield SkippedRecord(number, f"its data has no {field or 'value'}")

    items = map_records(records, "id", read)
    return ToolTable("label studio json", "task", name, columns, items, _modality(image, field, rows), image)


def _results(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for annotation in task.get("annotations") or ():
        yield from (item for item in annotation.get("result") or () if isinstance(item, dict))


def _field(data: Sequence[Mapping[str, Any]], to_name: str) -> str | None:
    """The key of the input in the data: the tag's name, or the only key; None when all keys are inputs."""
    names = list(dict.fromkeys(name for one in data for name in one))
    if to_name in names:
        return to_name
    return names[0] if len(names) == 1 else image_column(data)


def _values(data: Mapping[str, Any], field: str | None) -> dict[str, Any]:
    if field is None:
        return flatten(data)
    value = data.get(field)
    return flatten(value) if isinstance(value, Mapping) else {field: value}


def _modality(image: str | None, field: str | None, rows: Sequence[Mapping[str, Any]]) -> Modality | None:
    if image is not None:
        return "image"
    alone = field is not None and all(isinstance(row.get(field), str | None) and len(row) == 1 for row in rows)
    return "text" if alone else None


def rows(title: str, records: Records, spec: DatasetSpec) -> ToolTable:
    """JSON_MIN or CSV; rows of one task are adjacent. Raises Invalid when the label's column is unclear."""
    label, others = _label_of(records, spec)
    seen = [_inputs(row, label, others) for row in first_records(records)]
    image = image_column(seen)
    columns = (image,) if image is not None else tuple(dict.fromkeys(column for row in seen for column in row))

    def items() -> Iterator[ToolSample | SkippedRecord]:
        for task, group in groupby(records(), key=lambda row: str(row.get("id"))):
            held = list(group)
            answers = [_read_row(row, label) for row in held if row.get("annotation_id") not in (None, "")]
            yield from annotated_samples(task, _inputs(held[0], label, others), answers, spec)

    return ToolTable(title, "task", label, columns, items, "image" if image is not None else None, image)


def _label_of(records: Records, spec: DatasetSpec) -> tuple[str, frozenset[str]]:
    """The column of the class, and the columns of other tags, which are not inputs."""
    known: dict[str, set[str] | None] = {}
    tags: dict[str, None] = {}
    count = 0
    for row in records():
        count += 1
        names = list(row)
        start, stop = names.index("id") + 1, names.index("annotator")
        # In JSON_MIN the tags are between these two columns. The columns of a CSV are in alphabetical order.
        tags |= dict.fromkeys(names[start:stop])
        for name, value in row.items():
            kept = known.setdefault(name, set())
            if kept is not None and name not in _OWN and value not in (None, ""):
                kept.add(value if isinstance(value, str) else json.dumps(value))
                known[name] = kept if len(kept) <= _FEW else None
    if tags:
        return only_column(tags, spec, "tag"), frozenset(tags)
    classes = [name for name, kept in known.items() if kept and 2 <= len(kept) <= max(2, count // 2)]
    usual = [name for name in known if name.lower() in _USUAL]
    free = [name for name in known if name not in _OWN]
    named = [spec.label_column] if spec.label_column in free else usual if len(usual) == 1 else classes
    return only_column(named if len(named) == 1 else free, spec, "column"), frozenset()


def _inputs(row: Mapping[str, Any], label: str, others: frozenset[str]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in _OWN and name != label and name not in others}
    return flatten({name: _parse_nested(value) for name, value in kept.items()})


def _parse_nested(value: Any) -> Any:
    """A value with nested JSON parsed; a CSV has objects as JSON text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _read_row(row: Mapping[str, Any], label: str) -> Annotation | str:
    value = _parse_nested(row.get(label))
    if value in (None, "", [], {}):
        return "the annotation is empty"
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return f"the annotation names {len(value['choices'])} classes"
    if not isinstance(value, str):
        return "the annotation is no choice of one class"
    stamp = str(row.get("updated_at") or row.get("created_at") or "")
    number = str(row["annotation_id"])
    return Annotation(int(number) if number.isdigit() else 0, value, stamp, ground_truth=False)
