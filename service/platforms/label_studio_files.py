"""Export files of Label Studio: JSON (tasks), JSON_MIN and CSV (one row per annotation). Pure.

An export has no label config: an alias is read as a class, and the input is found from the data.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

from service.domain.dataset import ClientWarning, DatasetSpec, Modality
from service.platforms.annotations import Annotation, person
from service.platforms.files import (
    Records,
    SkippedRecord,
    ToolSample,
    ToolTable,
    annotated_samples,
    check_input,
    first_records,
    flatten,
    image_column,
    map_records,
    no_classes,
    only_column,
    scan_records,
)
from service.platforms.label_studio import Control, ControlKind, read_annotations
from service.platforms.label_studio_regions import TEXT, region_samples
from service.platforms.label_studio_results import (
    CLASS_TYPES,
    first_levels,
    is_of_region,
    items_of,
    rating_text,
    regions_of,
    says_place,
)

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


@dataclass(frozen=True)
class _Tag:
    """One tag of classes, as the results of an export show it: how many are of whole inputs, and how many of regions."""

    name: str
    kind: ControlKind
    to_name: str
    whole: int
    regional: int


def tasks(records: Records, spec: DatasetSpec) -> ToolTable:
    """The JSON export. Raises Invalid where it has no classes, or several Choices tags and none is named.

    Where all classes are of regions of texts, each region is a sample; else those of regions are not read.
    """
    tag = _tag(records, spec)
    data = [task["data"] for task in first_records(records) if isinstance(task.get("data"), dict)]
    field = _field(data, tag.to_name)
    rows = [_values(one, field) for one in data]
    check_input(rows)
    image = image_column(rows)
    modality = _modality(image, field, rows)
    if not tag.whole:
        return _regions(records, spec, tag, field, modality)
    control = Control(tag.name, "", (), {}, "", field or "", url=False, kind=tag.kind)
    columns = (image,) if image is not None else tuple(dict.fromkeys(column for row in rows for column in row))

    def read(number: str, task: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        values = _values(task.get("data") or {}, field)
        if any(value not in (None, "") for value in values.values()):
            yield from annotated_samples(number, values, read_annotations(task, control), spec)
        else:
            yield SkippedRecord(number, f"its data has no {field or 'value'}")

    items = map_records(records, "id", read)
    warnings = [_left_out(tag)] if tag.regional else []
    return ToolTable("label studio json", "task", tag.name, columns, items, modality, image, warnings=tuple(warnings))


def _tag(records: Records, spec: DatasetSpec) -> _Tag:
    """The tag of the class: the one that `spec.label` names, else the only one, where Choices go before other kinds."""
    places: dict[tuple[ControlKind, str], Counter[str]] = {}
    whole: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for item, regional in scan_records(records, _results):
        kind = str(item.get("type"))
        kinds[kind] += 1
        if kind in CLASS_TYPES and item.get("from_name"):
            name = str(item["from_name"])
            places.setdefault((cast("ControlKind", kind), name), Counter())[str(item.get("to_name"))] += 1
            whole[name] += not regional
    if not places:
        found = f"its results are {', '.join(kinds)}" if kinds else "no task is annotated"
        raise no_classes(f"the export has no choices, so no classes: {found}")
    usual = [name for kind, name in places if kind == "choices"]
    every = [name for _, name in places]
    name = only_column(every if spec.label_column in every else usual or every, spec, _noun(usual))
    kind, to_names = next((kind, counts) for (kind, one), counts in places.items() if one == name)
    return _Tag(name, kind, to_names.most_common(1)[0][0], whole[name], to_names.total() - whole[name])


def _noun(usual: Sequence[str]) -> str:
    return "Choices tag" if usual else "Rating or Taxonomy tag"


def _results(task: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """All items of results, and whether each is of a region."""
    for annotation in task.get("annotations") or ():
        items = items_of(annotation)
        regions = regions_of(items)
        yield from ((item, is_of_region(item, regions)) for item in items)


def _left_out(tag: _Tag) -> ClientWarning:
    detail = (
        f"{tag.regional:,} classes of {tag.name!r} are of regions (parts of a text or of an image) and are not read, beside {tag.whole:,} "
        "of whole inputs. To read those of regions of texts, export the tasks that have no class of the whole"
    )
    return ClientWarning(code="region_choices", detail=detail)


def _regions(records: Records, spec: DatasetSpec, tag: _Tag, field: str | None, modality: Modality | None) -> ToolTable:
    """Each region of a text that has a class is a sample."""
    if modality == "image" or tag.kind != "choices":
        raise no_classes(
            f"all {tag.regional:,} classes of {tag.name!r} are of regions and not of whole inputs; a region is a sample only where it is "
            "a choice of a part of a text. Cut the regions out as images, or annotate whole inputs (without perRegion)"
        )

    def read(number: str, task: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        return region_samples(number, task, (task.get("data") or {}).get(field), tag.name, spec)

    detail = f"all {tag.regional:,} choices of {tag.name!r} are of regions of texts: each region is a sample of its own text, called task:region"
    # Not "label studio json, …": suggestions for these samples are none for their tasks.
    title = "regions of texts in label studio json"
    warning = ClientWarning(code="region_samples", detail=detail)
    return ToolTable(title, "task", tag.name, (TEXT,), map_records(records, "id", read), "text", warnings=(warning,))


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
    check_input(seen)
    image = image_column(seen)
    columns = (image,) if image is not None else tuple(dict.fromkeys(column for row in seen for column in row))

    def items() -> Iterator[ToolSample | SkippedRecord]:
        for task, group in groupby(records(), key=lambda row: str(row.get("id"))):
            held = list(group)
            answers = [_read_row(row, label) for row in held if row.get("annotation_id") not in (None, "")]
            yield from annotated_samples(task, _inputs(held[0], label, others), answers, spec)

    modality: Modality | None = "image" if image is not None else None
    warnings = _beside_regions(first_records(records), label)
    return ToolTable(title, "task", label, columns, items, modality, image, warnings=warnings)


def _beside_regions(rows: Sequence[Mapping[str, Any]], label: str) -> tuple[ClientWarning, ...]:
    """A warning where another tag has regions, of which the choices may be: a row does not say."""
    for row in rows:
        for name, value in row.items():
            held = _parse_nested(value, opening="[") if name not in _OWN and name != label else None
            if isinstance(held, list) and any(says_place(one) for one in held):
                detail = (
                    f"the rows have regions in {name!r}, and do not say whether {label!r} is of those or of the whole input; it is "
                    "read as of the whole. If it is of regions (perRegion), upload the JSON export"
                )
                return (ClientWarning(code="region_choices", detail=detail),)
    return ()


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


def _parse_nested(value: Any, opening: str = "{") -> Any:
    """A value with nested JSON parsed; a CSV has objects as JSON text."""
    if isinstance(value, str) and value[:1] and value[0] in opening:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _read_row(row: Mapping[str, Any], label: str) -> Annotation | str:
    value = _parse_nested(row.get(label), opening="{[")
    if value in (None, "", [], {}):
        return "the annotation is empty"
    chosen = _chosen(value)
    if len(chosen) != 1 or not isinstance(chosen[0], str):
        return (
            f"the annotation names {len(chosen)} classes"
            if len(chosen) > 1
            else "the annotation is no choice of one class"
        )
    stamp = str(row.get("updated_at") or row.get("created_at") or "")
    number = str(row["annotation_id"])
    place, who = int(number) if number.isdigit() else 0, person(_parse_nested(row.get("annotator")))
    return Annotation(place, chosen[0], stamp, ground_truth=False, annotator=who)


def _chosen(value: Any) -> list[Any]:
    """What a cell names: a choice as text, several as an object or a list, a rating or a taxonomy as objects in a list."""
    if not isinstance(value, list):
        value = [value]
    found: list[Any] = []
    for one in value:
        if isinstance(one, dict) and isinstance(one.get("choices"), list):
            found += one["choices"]
        elif isinstance(one, dict) and "rating" in one:
            found.append(rating_text(one["rating"]))
        elif isinstance(one, dict) and isinstance(one.get("taxonomy"), list):
            found += first_levels(one["taxonomy"])
        else:
            found += first_levels([one]) if isinstance(one, list) else [rating_text(one)]
    return found
