"""Export files of image datasets: CVAT XML, COCO, FiftyOne. Pure: a reader gets parsed JSON or XML."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from service.domain.dataset import ClientWarning, DatasetSpec
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
_LISTED = 5
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_NO_LABELS = ("ImageMetadata", "VideoMetadata")  # objects of a sample that are no labels
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
    """COCO annotations; an image is a sample when all its annotations have one category. Ids may be numbers or texts."""
    names: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for section, _, value in pieces():
        if section == "categories":
            known = names.setdefault(str(value["id"]), str(value["name"]))
            if known != str(value["name"]):
                raise no_classes(f"two COCO categories have the id {value['id']}: {known!r} and {value['name']!r}")
        elif section == "annotations" and value.get("category_id") is not None:
            found.setdefault(str(value["image_id"]), set()).add(str(value["category_id"]))
    if not found:
        raise no_classes("no annotation of the COCO file has a category")
    names, warnings = _told_apart(names)

    def images() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "images" and isinstance(value, dict))

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        categories = found.get(str(record["id"]), set())
        labels = sorted(names.get(one, f"category {one}") for one in categories)
        if len(labels) == 1:
            yield ToolSample(name, labels[0], {_IMAGE: str(record["file_name"])})
        else:
            yield SkippedRecord(name, f"it has several categories: {', '.join(labels)}" if labels else "no annotation")

    items = map_records(images, "id", read)
    return ToolTable("coco", "image", "category", (_IMAGE,), items, "image", _IMAGE, warnings=warnings)


def _told_apart(names: Mapping[str, str]) -> tuple[dict[str, str], tuple[ClientWarning, ...]]:
    """Names of categories by id, with the id in each name that two of them share, and a warning of those."""
    counts = Counter(name.strip() for name in names.values())
    twice = [name for name, count in counts.items() if count > 1]
    if not twice:
        return dict(names), ()
    apart = {key: f"{name.strip()} (id {key})" if counts[name.strip()] > 1 else name for key, name in names.items()}
    shown = ", ".join(repr(name) for name in twice[:_LISTED])
    detail = (
        f"several categories are called {shown}; they are kept apart as {', '.join(apart[key] for key in apart if apart[key] != names[key])[:300]}. "
        "If they are one class, merge them by spec.merge_labels"
    )
    return apart, (ClientWarning(code="repeated_category", detail=detail),)


def is_fiftyone_labels(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneImageClassificationDataset's labels.json."""
    return "labels" in sections and sections <= {"classes", "labels"}


def fiftyone_labels(pieces: Pieces, spec: DatasetSpec) -> ToolTable:
    """Classes by image name without ending; a class is a number (of `classes`), a name, or an object with `label`.

    Raises Invalid where all labels are objects of a model's predictions, unless `spec.label` is "label", or of detections.
    """
    classes = [str(value) for section, _, value in pieces() if section == "classes" and value is not None]

    def pairs() -> Iterator[dict[str, Any]]:
        return ({"key": key, "label": value} for section, key, value in pieces() if section == "labels" and key)

    forms = {_form(pair["label"]) for pair in pairs() if pair["label"] not in (None, [])}
    if forms == {"detections"}:
        raise no_classes("all labels of the FiftyOne file are detections; a class for the whole image is needed")
    if forms == {"prediction"} and spec.label_column != "label":
        raise no_classes(_only_predictions("label"))

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        label = record["label"]
        label = label.get("label") if isinstance(label, dict) else label
        if isinstance(label, list):
            yield SkippedRecord(name, f"it has {len(label)} labels") if label else SkippedRecord(name, "no label")
        elif label is None:
            yield SkippedRecord(name, "no label")
        else:
            known = _numbered(label, classes)
            if known is None:
                yield SkippedRecord(
                    name, f"its class number {label} is none of the {len(classes)} classes, 0 to {len(classes) - 1}"
                )
            else:
                yield ToolSample(name, known, {_IMAGE: name})

    return ToolTable("fiftyone labels", "sample", "label", (_IMAGE,), map_records(pairs, "key", read), "image", _IMAGE)


def _form(label: Any) -> str:
    if isinstance(label, list):
        return "detections" if all(isinstance(one, dict) and "bounding_box" in one for one in label) else "labels"
    return "prediction" if isinstance(label, dict) and label.get("confidence") is not None else "label"


def _numbered(label: Any, classes: Sequence[str]) -> str | None:
    """The class of a label: its name, or that of its number, which may be a text; None for a number beyond the classes."""
    number = isinstance(label, int | float) and not isinstance(label, bool)
    if not classes or (str(label) in classes and not number):
        return str(label)
    if number or (isinstance(label, str) and _NUMBER.fullmatch(label)):
        return next((name for place, name in enumerate(classes) if place == float(label)), None)
    return str(label)


def _only_predictions(fields: str) -> str:
    return (
        f"the only classes of the FiftyOne file are predictions of a model, with a confidence each ({fields}). Export the labels that "
        "people gave; or name the field as spec.label, if people have confirmed them"
    )


def is_fiftyone_samples(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneDataset's samples.json, or of `write_json`."""
    return sections == {"samples"} or sections >= {"samples", "media_type"}


def fiftyone_samples(pieces: Pieces, spec: DatasetSpec) -> ToolTable:
    """Samples with one Classification field; a tag like `train` or `test` is the split."""

    def samples() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "samples" and isinstance(value, dict))

    confident: dict[str, bool] = {}  # of each field of classes whether all of them have a confidence
    others: dict[str, str] = {}
    splits = False
    for sample in samples():
        for name, value in sample.items():
            if _class_of(value) is not None:
                confident[name] = confident.get(name, True) and value.get("confidence") is not None
            elif isinstance(value, Mapping) and str(value.get("_cls", "")) not in ("", *_NO_LABELS):
                others[name] = str(value["_cls"])
        splits = splits or _split(sample) is not None
    field = _class_field(confident, others, spec)

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


def _class_field(confident: Mapping[str, bool], others: Mapping[str, str], spec: DatasetSpec) -> str:
    """The field of classes that people gave: `spec.label`, `ground_truth`, or the only one without confidences."""
    given = [name for name, predicted in confident.items() if not predicted]
    if spec.label_column is None and not given:
        kinds = ", ".join(f"{name} ({kind})" for name, kind in others.items()) or "none"
        if confident:
            raise no_classes(_only_predictions(", ".join(confident)))
        raise no_classes(
            f"no FiftyOne sample has a Classification; its label fields are {kinds}; a class for the whole image is needed"
        )
    usual = "ground_truth" if spec.label_column is None and "ground_truth" in given else None
    return usual or only_column(given if spec.label_column is None else confident, spec, "Classification field")


def _class_of(value: Any) -> str | None:
    if not isinstance(value, Mapping) or value.get("_cls") != "Classification":
        return None
    return single_class([value.get("label")])


def _split(sample: Mapping[str, Any]) -> str | None:
    return next((str(tag) for tag in sample.get("tags") or () if str(tag).lower() in _SPLITS), None)
