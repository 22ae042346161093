"""What every reader of a labelling tool's file gives: samples with one class each, or the reason why there is none.

Files are not opened here: a reader gets their records, and may ask for them again. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.domain.dataset import DatasetSpec, Modality
from service.domain.errors import FieldError, Invalid
from service.platforms.label_studio import Labelled, decide

# What a record of another shape than the tool's raises.
SHAPE = (AttributeError, TypeError, ValueError, KeyError, IndexError)

T = TypeVar("T")
Records = Callable[[], Iterator[dict[str, Any]]]

_IMAGE = re.compile(r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?|ppm|pgm|pbm)$")
_LOOK = 200  # records that tell what a file is of


@dataclass(frozen=True)
class Item:
    """One sample: its id in the tool, its class, its inputs by column; an image is where the tool finds it."""

    name: str
    label: str
    values: Mapping[str, Any]
    split: str | None = None


@dataclass(frozen=True)
class Unused:
    """One record that becomes no sample, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Table:
    """A file that is understood: `items` begins anew at each call.

    `noun` is what the tool calls a record, `label` what it calls the class; `image` is the column of images.
    """

    title: str
    noun: str
    label: str
    columns: tuple[str, ...]
    items: Callable[[], Iterator[Item | Unused]]
    modality: Modality | None = None
    image: str | None = None
    splits: bool = False


def each(
    records: Records, key: str, read: Callable[[str, dict[str, Any]], Iterator[Item | Unused]]
) -> Callable[[], Iterator[Item | Unused]]:
    """What `read` makes of every record, called by what it holds under `key`; one that has another shape is no sample."""

    def items() -> Iterator[Item | Unused]:
        for place, record in enumerate(records()):
            name = str(record.get(key) if record.get(key) not in (None, "") else f"row-{place}")
            try:
                yield from list(read(name, record))
            except SHAPE:
                yield Unused(name, "it is not as the tool writes it")

    return items


def surveyed(records: Records, look: Callable[[dict[str, Any]], Iterable[T]]) -> Iterator[T]:
    """What `look` sees in every record, those of another shape left out."""
    for record in records():
        try:
            yield from list(look(record))
        except SHAPE:
            continue


def settled(
    name: str, values: Mapping[str, Any], said: Sequence[Labelled | str], spec: DatasetSpec
) -> Iterator[Item | Unused]:
    """The sample that a record's annotations make; with the policy `all` one each, called `name:annotation`."""
    labelled = [one for one in said if isinstance(one, Labelled)]
    policy = spec.annotation_policy
    if policy == "all":
        yield from (Unused(name, one) for one in said if isinstance(one, str))
        if not said:
            yield Unused(name, "no annotation")
        yield from (Item(f"{name}:{one.annotation}", one.label, values) for one in labelled)
    elif not labelled:
        yield Unused(name, str(said[-1]) if said else "no annotation")
    else:
        labels = decide(labelled, policy)
        if len(labels) == 1:
            yield Item(name, labels[0], values)
        else:
            conflict = f"its annotators are in conflict: {', '.join(labels)}"
            yield Unused(name, conflict if labels else "no annotation is ground truth")


def only(names: Iterable[str], spec: DatasetSpec, what: str) -> str:
    """The one that holds the class: what `spec.label` names, or the only one. Raises Invalid naming them."""
    found = list(dict.fromkeys(names))
    if spec.label is not None and spec.label in found:
        return spec.label
    if spec.label is not None or len(found) != 1:
        known = ", ".join(found) or "none"
        told = f"no {what} {spec.label!r}; there are {known}" if spec.label else f"which {what} is the label? {known}"
        raise Invalid(f"spec.label: {told}", errors=[FieldError(loc=["spec", "label"], msg=told)])
    return found[0]


def useless(message: str) -> Invalid:
    """The file is a tool's, but holds nothing that this service ranks."""
    return Invalid(message, errors=[FieldError(loc=["file"], msg=message)])


def is_image(value: Any) -> bool:
    """Whether a value says where an image is, or is one as a data URI."""
    if not isinstance(value, str):
        return False
    return (
        value.startswith("data:image/")
        or ("\n" not in value and bool(_IMAGE.search(value.split("?")[0])))
        or ("?d=" in value and bool(_IMAGE.search(value)))
    )


def image_column(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The first column that says in every row that has it where an image is."""
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name)]
        if values and all(is_image(value) for value in values):
            return name
    return None


def first(records: Records) -> list[dict[str, Any]]:
    """The first records of a file, which tell what it is of."""
    return [record for record, _ in zip(records(), range(_LOOK), strict=False)]


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Named values, those of an object in it under `its name.their name`."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found


def one_of(chosen: Sequence[Any]) -> str | None:
    """The class that a choice means, or None for several or none."""
    return str(chosen[0]) if len(chosen) == 1 and isinstance(chosen[0], (str, int)) else None
