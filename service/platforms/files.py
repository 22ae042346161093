"""Shared parts of the readers of labelling tools' export files. Pure.

A reader gets the parsed records of a file, as often as it needs them, and gives samples with one class each. A record that
gives no sample is skipped with a reason.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.domain.dataset import ClientWarning, DatasetSpec, Modality
from service.domain.errors import FieldError, Invalid, invalid
from service.platforms.annotations import Annotation, Vote, no_single_label, votes_of, winning_labels

# Errors that a record raises when its shape is not the tool's.
SHAPE = (AttributeError, TypeError, ValueError, KeyError, IndexError)

T = TypeVar("T")
Records = Callable[[], Iterator[dict[str, Any]]]

_IMAGE = re.compile(r"(?i)\.(jpe?g?|jfif|jif|jfi|png|apng|gif|bmp|dib|webp|tiff?|ppm|pgm|pbm|pnm|avif|hei[cf])$")
_RECORDING = re.compile(r"(?i)\.(mp3|wav|flac|ogg|oga|opus|m4a|aac|wma|aiff?|mp4|m4v|mov|avi|webm|mkv|mpe?g)$")
_URL = re.compile(r"(?i)^([a-z][a-z0-9+.-]*://|/data/)")  # /data/… is Label Studio's own
_INSPECTED = 200  # first records, which tell the columns of a file


@dataclass(frozen=True)
class ToolSample:
    """One sample: its id in the tool, its class, its inputs by column. An image is a path, a URL or a data URI."""

    name: str
    label: str
    values: Mapping[str, Any]
    split: str | None = None
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True)
class SkippedRecord:
    """A record that gives no sample, and the reason; `votes` where its annotators are in conflict."""

    name: str
    reason: str
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True)
class ToolTable:
    """An export file as a table; each call of `items` reads it from the start.

    `noun` is the tool's word for a record, `label` its name of the class, `image` the column of images, if any. `warnings`
    say what of the file is read otherwise than one may expect.
    """

    title: str
    noun: str
    label: str
    columns: tuple[str, ...]
    items: Callable[[], Iterator[ToolSample | SkippedRecord]]
    modality: Modality | None = None
    image: str | None = None
    splits: bool = False
    warnings: tuple[ClientWarning, ...] = ()


def map_records(
    records: Records, key: str, read: Callable[[str, dict[str, Any]], Iterator[ToolSample | SkippedRecord]]
) -> Callable[[], Iterator[ToolSample | SkippedRecord]]:
    """Apply `read` to each record and its name, the value of `key`. A record of another shape is skipped."""

    def items() -> Iterator[ToolSample | SkippedRecord]:
        for place, record in enumerate(records()):
            name = str(record.get(key) if record.get(key) not in (None, "") else f"row-{place}")
            try:
                yield from list(read(name, record))
            except SHAPE:
                yield SkippedRecord(name, "its shape is not the tool's")

    return items


def scan_records(records: Records, look: Callable[[dict[str, Any]], Iterable[T]]) -> Iterator[T]:
    """Values that `look` finds in all records; records of another shape give none."""
    for record in records():
        try:
            yield from list(look(record))
        except SHAPE:
            continue


def annotated_samples(
    name: str, values: Mapping[str, Any], annotations: Sequence[Annotation | str], spec: DatasetSpec
) -> Iterator[ToolSample | SkippedRecord]:
    """The sample of a record with annotations; with the policy `all` one for each, with the id `name:annotation`."""
    annotated = [one for one in annotations if isinstance(one, Annotation)]
    policy = spec.annotation_policy
    if policy == "all":
        yield from (SkippedRecord(name, one) for one in annotations if isinstance(one, str))
        if not annotations:
            yield SkippedRecord(name, "no annotation")
        yield from (ToolSample(f"{name}:{one.number}", one.label, values, votes=votes_of([one])) for one in annotated)
    elif not annotated:
        yield SkippedRecord(name, str(annotations[-1]) if annotations else "no annotation")
    else:
        labels, votes = winning_labels(annotated, policy), votes_of(annotated)
        if len(labels) == 1:
            yield ToolSample(name, labels[0], values, votes=votes)
        else:
            yield SkippedRecord(name, no_single_label(labels), votes)


def only_column(names: Iterable[str], spec: DatasetSpec, what: str) -> str:
    """The name of the class column: `spec.label`, or the only one. Raises Invalid with all names; `what` is their kind."""
    found = list(dict.fromkeys(names))
    if spec.label_column is not None and spec.label_column in found:
        return spec.label_column
    if spec.label_column is not None or len(found) != 1:
        known = ", ".join(found) or "none"
        msg = (
            f"no {what} {spec.label_column!r}; there are {known}"
            if spec.label_column
            else f"which {what} is the label? {known}"
        )
        raise invalid(["spec", "label"], msg)
    return found[0]


def no_classes(message: str) -> Invalid:
    """The error for an export file without a class for each sample."""
    return Invalid(message, errors=[FieldError(loc=["file"], msg=message)])


def is_image(value: Any) -> bool:
    """Whether a value is the path or URL of an image, or an image as a data URI."""
    if not isinstance(value, str):
        return False
    if value.startswith("data:image/"):
        return True
    # Only a URL has a query and a fragment; in the name of a file ? and # are letters.
    path = re.split(r"[?#]", value, maxsplit=1)[0] if _URL.match(value) and "?d=" not in value else value
    return "\n" not in value and bool(_IMAGE.search(path))


def check_input(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise Invalid where all that the rows hold are names of files of sound or film."""
    values = [value for row in rows for value in row.values() if value not in (None, "")]
    if values and all(isinstance(value, str) and any(map(_RECORDING.search, value.split("?"))) for value in values):
        raise no_classes(
            f"the samples are files of sound or film ({str(values[0])[:100]!r}), which are not supported; upload what they say as text, "
            "or vectors that a model makes of them"
        )


def image_column(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The first column whose values are all images, see `is_image`."""
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name)]
        if values and all(is_image(value) for value in values):
            return name
    return None


def first_records(records: Records) -> list[dict[str, Any]]:
    """The first 200 records of a file."""
    return [record for record, _ in zip(records(), range(_INSPECTED), strict=False)]


def flatten(data: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name; values of a nested object have the name `outer.inner`."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": nested for inner, nested in value.items()}
        else:
            found[name] = value
    return found


def single_class(chosen: Sequence[Any]) -> str | None:
    """The class of a choice; None for several choices or none."""
    return str(chosen[0]) if len(chosen) == 1 and isinstance(chosen[0], (str, int)) else None
