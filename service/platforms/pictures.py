"""Exports of image datasets: CVAT's XML, COCO, FiftyOne. Pure: they get what a parser of JSON or XML has found."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from service.domain.dataset import DatasetSpec
from service.platforms.files import Item, Records, Table, Unused, each, first, one_of, only, useless

# Section, key and value of a JSON document, as they come.
Pieces = Callable[[], Iterator[tuple[str, str, Any]]]

_IMAGE = "image"
_SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")


def cvat(records: Records, _spec: DatasetSpec) -> Table:
    """Images of "CVAT for images 1.1": `id, name, subset, tags` and the number of `shapes`. An image's tag is its class."""
    seen = False
    for record in records():
        seen = seen or bool(record["tags"])
    if not seen:
        raise useless("no image of the CVAT export has a tag; the class of a whole image is a tag")
    splits = any(record["subset"] for record in first(records))

    def read(name: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        tags = record["tags"]
        if len(tags) == 1:
            yield Item(name, tags[0], {_IMAGE: record["name"]}, record["subset"])
        elif tags:
            yield Unused(name, f"it has {len(tags)} tags: {', '.join(tags)}")
        else:
            yield Unused(name, "no tag" + (f", only {record['shapes']} shapes" if record["shapes"] else ""))

    return Table("cvat xml", "image", "label", (_IMAGE,), each(records, "id", read), "image", _IMAGE, splits)


def is_coco(sections: frozenset[str]) -> bool:
    """Whether a document's keys are COCO's."""
    return sections >= {"images", "annotations", "categories"}


def coco(pieces: Pieces, _spec: DatasetSpec) -> Table:
    """Images of which all annotations are of one category."""
    names: dict[Any, str] = {}
    found: dict[Any, set[Any]] = {}
    for section, _, value in pieces():
        if section == "categories":
            names[value["id"]] = str(value["name"])
        elif section == "annotations" and value.get("category_id") is not None:
            found.setdefault(value["image_id"], set()).add(value["category_id"])
    if not found:
        raise useless("no annotation of the COCO file has a category")

    def images() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "images" and isinstance(value, dict))

    def read(name: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        categories = found.get(record["id"], set())
        labels = sorted(names.get(one, f"category {one}") for one in categories)
        if len(labels) == 1:
            yield Item(name, labels[0], {_IMAGE: str(record["file_name"])})
        else:
            yield Unused(name, f"it has several categories: {', '.join(labels)}" if labels else "no annotation")

    return Table("coco", "image", "category", (_IMAGE,), each(images, "id", read), "image", _IMAGE)


def is_fiftyone_labels(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneImageClassificationDataset's labels.json."""
    return "labels" in sections and sections <= {"classes", "labels"}


def fiftyone_labels(pieces: Pieces, _spec: DatasetSpec) -> Table:
    """A class of each image by its name without the ending: a number, a name, or one with its confidence."""
    classes = [str(value) for section, _, value in pieces() if section == "classes" and value is not None]

    def pairs() -> Iterator[dict[str, Any]]:
        return ({"key": key, "label": value} for section, key, value in pieces() if section == "labels" and key)

    def read(name: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        label = record["label"]
        label = label.get("label") if isinstance(label, dict) else label
        if isinstance(label, list):
            yield Unused(name, f"it has {len(label)} labels") if label else Unused(name, "no label")
        elif label is None:
            yield Unused(name, "no label")
        else:
            yield Item(name, classes[label] if isinstance(label, int) else str(label), {_IMAGE: name})

    return Table("fiftyone labels", "sample", "label", (_IMAGE,), each(pairs, "key", read), "image", _IMAGE)


def is_fiftyone_samples(sections: frozenset[str]) -> bool:
    """Whether a document's keys are those of FiftyOneDataset's samples.json."""
    return sections == {"samples"}


def fiftyone_samples(pieces: Pieces, spec: DatasetSpec) -> Table:
    """Samples with one Classification field; a tag that names a split is one."""

    def samples() -> Iterator[dict[str, Any]]:
        return (value for section, _, value in pieces() if section == "samples" and isinstance(value, dict))

    fields: dict[str, None] = {}
    splits = False
    for sample in samples():
        fields |= {name: None for name, value in sample.items() if _class_of(value) is not None}
        splits = splits or _split(sample) is not None
    usual = "ground_truth" if spec.label is None and "ground_truth" in fields else None
    field = usual or only(fields, spec, "Classification field")

    def read(name: str, sample: dict[str, Any]) -> Iterator[Item | Unused]:
        held = sample.get("_id", sample.get("id"))
        known = str(held.get("$oid") if isinstance(held, dict) else held or name)
        label = _class_of(sample.get(field))
        if label is None:
            several = isinstance(sample.get(field), dict) and sample[field].get("_cls") == "Classifications"
            yield Unused(known, f"its {field} is several labels" if several else f"no {field}")
        else:
            yield Item(known, label, {_IMAGE: str(sample["filepath"])}, _split(sample))

    return Table("fiftyone samples", "sample", field, (_IMAGE,), each(samples, "id", read), "image", _IMAGE, splits)


def _class_of(value: Any) -> str | None:
    if not isinstance(value, Mapping) or value.get("_cls") != "Classification":
        return None
    return one_of([value.get("label")])


def _split(sample: Mapping[str, Any]) -> str | None:
    return next((str(tag) for tag in sample.get("tags") or () if str(tag).lower() in _SPLITS), None)
