"""Export files of image datasets: CVAT XML, COCO, FiftyOne. Pure: a reader gets parsed JSON or XML."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.domain.dataset import DatasetSpec
from service.platforms.files import (
    Records,
    SkippedRecord,
    ToolSample,
    ToolTable,
    first_records,
    map_records,
    no_classes,
    only_column,
    single_class,
)

# Section, key and value of a JSON document, in the order of the file.
Pieces = Callable[[], Iterator[tuple[str, str, Any]]]

_IMAGE = "image"
_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")


def cvat(records: Records, _spec: DatasetSpec) -> ToolTable:
    """Images of "CVAT for images 1.1": `id, name, subset, tags` and the number of `shapes`. An image's tag is its class."""
    seen = False
    for record in records():
        seen = seen or bool(record["tags"])
    if not seen:
        raise no_classes("no image of the CVAT export has a tag; the class of a whole image is a tag")
    splits = any(record["subset"] for record in first_records(records))

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        tags = record["tags"]
        if len(tags) == 1:
            yield ToolSample(name, tags[0], {_IMAGE: record["name"]}, record["subset"])
        elif tags:
            yield SkippedRecord(name, f"it has {len(tags)} tags: {', '.join(tags)}")
        else:
            yield SkippedRecord(name, "no tag" + (f", only {record['shapes']} shapes" if record["shapes"] else ""))

    return ToolTable("cvat xml", "image", "label", (_IMAGE,), map_records(records, "id", read), "image", _IMAGE, splits)


def is_coco(sections: frozenset[str]) -> bool:
    """Whether a document's keys are COCO's."""
    return sections >= {"images", "annotations", "categories"}


def coco(pieces: Pieces, _spec: DatasetSpec) -> ToolTable:
    """COCO annotations; an image is a sample when all its annotations have one category."""
    names: dict[Any, str] = {}
    found: dict[Any, set[Any]] = {}
    for section, _, value in pieces():
        if section == "categories":
            names[value["id"]] = str(value["name"])
        elif section == "annotations" and value.get("category_id") is not None:
            found.setdefault(value["image_id"], set()).add(value["category_id"])
    if not found:
        raise no_classes("no annotation of the COCO file has a category")

    def images() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "images" and isinstance(value, dict))

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        categories = found.get(record["id"], set())
        labels = sorted(names.get(one, f"category {one}") for one in categories)
        if len(labels) == 1:
            yield ToolSample(name, labels[0], {_IMAGE: str(record["file_name"])})
        else:
            yield SkippedRecord(name, f"it has several categories: {', '.join(labels)}" if labels else "no annotation")

    return ToolTable("coco", "image", "category", (_IMAGE,), map_records(images, "id", read), "image", _IMAGE)


def is_fiftyone_labels(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneImageClassificationDataset's labels.json."""
    return "labels" in sections and sections <= {"classes", "labels"}


def fiftyone_labels(pieces: Pieces, _spec: DatasetSpec) -> ToolTable:
    """Classes by image name without ending; a class is a number, a name, or an object with `label`."""
    classes = [str(value) for section, _, value in pieces() if section == "classes" and value is not None]

    def pairs() -> Iterator[dict[str, Any]]:
        return ({"key": key, "label": value} for section, key, value in pieces() if section == "labels" and key)

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        label = record["label"]
        label = label.get("label") if isinstance(label, dict) else label
        if isinstance(label, list):
            yield SkippedRecord(name, f"it has {len(label)} labels") if label else SkippedRecord(name, "no label")
        elif label is None:
            yield SkippedRecord(name, "no label")
        else:
            yield ToolSample(name, classes[label] if isinstance(label, int) else str(label), {_IMAGE: name})

    return ToolTable("fiftyone labels", "sample", "label", (_IMAGE,), map_records(pairs, "key", read), "image", _IMAGE)


def is_fiftyone_samples(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneDataset's samples.json."""
    return sections == {"samples"}


def fiftyone_samples(pieces: Pieces, spec: DatasetSpec) -> ToolTable:
    """Samples with one Classification field; a tag like `train` or `test` is the split."""

    def samples() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "samples" and isinstance(value, dict))

    fields: dict[str, None] = {}
    splits = False
    for sample in samples():
        fields |= {name: None for name, value in sample.items() if _class_of(value) is not None}
        splits = splits or _split(sample) is not None
    usual = "ground_truth" if spec.label_column is None and "ground_truth" in fields else None
    field = usual or only_column(fields, spec, "Classification field")

    def read(name: str, sample: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        held = sample.get("_id", sample.get("id"))
        known = str(held.get("$oid") if isinstance(held, dict) else held or name)
        label = _class_of(sample.get(field))
        if label is None:
            several = isinstance(sample.get(field), dict) and sample[field].get("_cls") == "Classifications"
            yield SkippedRecord(known, f"its {field} is several labels" if several else f"no {field}")
        else:
            yield ToolSample(known, label, {_IMAGE: str(sample["filepath"])}, _split(sample))

    return ToolTable(
        "fiftyone samples", "sample", field, (_IMAGE,), map_records(samples, "id", read), "image", _IMAGE, splits
    )


def _class_of(value: Any) -> str | None:
    if not isinstance(value, Mapping) or value.get("_cls") != "Classification":
        return None
    return single_class([value.get("label")])


def _split(sample: Mapping[str, Any]) -> str | None:
    return next((str(tag) for tag in sample.get("tags") or () if str(tag).lower() in _SPLITS), None)
