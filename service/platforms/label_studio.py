"""Label Studio's projects and tasks as labelled samples, and samples as its predictions. Pure: no I/O.

The label config is XML: `<Choices name=N toName=M>` holds the classes, the tag called M the input. An annotation's
result item counts when its type is `choices` and its `from_name` is N; with a `<Choice alias>` it names the alias.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from service.domain.dataset import AnnotationPolicy, Modality
from service.domain.errors import FieldError, Invalid

_INPUTS: dict[str, Modality] = {"text": "text", "hypertext": "text", "image": "image", "table": "tabular"}


@dataclass(frozen=True)
class Control:
    """One Choices tag: the classes in order, the input it is about, and its aliases by class."""

    from_name: str
    to_name: str
    classes: tuple[str, ...]
    aliases: Mapping[str, str]
    input_tag: str
    field: str
    url: bool  # the field holds where the text is, not the text

    @property
    def modality(self) -> Modality | None:
        """What one sample is; None for inputs that no model takes."""
        return None if self.url and self.input_tag != "image" else _INPUTS.get(self.input_tag)

    def read(self, choice: str) -> str:
        """The class that a choice in a result means."""
        return next((name for name, alias in self.aliases.items() if alias == choice), choice)

    def write(self, label: str) -> str:
        """How a result names a class."""
        return self.aliases.get(label, label)


@dataclass(frozen=True)
class Labelled:
    """One annotation that names one class."""

    annotation: int
    label: str
    updated_at: str
    ground_truth: bool


@dataclass(frozen=True)
class Sample:
    """A task that becomes a sample. `name` is the sample's id, `disagrees`: other annotations say other classes."""

    name: str
    task: int
    label: str
    value: Any
    disagrees: bool


@dataclass(frozen=True)
class Left:
    """A task that becomes none, and why."""

    task: int
    reason: str


def parse_config(config: str) -> list[Control]:
    """Every Choices tag of a label config that has an input. Raises Invalid for XML that cannot be read."""
    try:
        root = fromstring(config)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise _invalid("project", f"its label config is not XML that can be read: {type(error).__name__}") from error
    named = {tag.get("name"): tag for tag in root.iter() if tag.get("name")}
    found = []
    for tag in root.iter("Choices"):
        source = named.get((tag.get("toName") or "").split(",")[0])
        if tag.get("name") and source is not None and (source.get("value") or "").startswith("$"):
            found.append(_control(tag, source))
    return found


def _control(tag: Element, source: Element) -> Control:
    choices = [one for one in tag.iter("Choice") if one.get("value")]
    return Control(
        from_name=tag.get("name") or "",
        to_name=source.get("name") or "",
        classes=tuple(dict.fromkeys(one.get("value") or "" for one in choices)),
        aliases={one.get("value") or "": one.get("alias") or "" for one in choices if one.get("alias")},
        input_tag=str(source.tag).lower(),
        field=(source.get("value") or "").removeprefix("$"),
        url=source.get("valueType") == "url",
    )


def choose(controls: Sequence[Control], from_name: str | None) -> Control:
    """The one that holds the class. Raises Invalid where it cannot be told, naming those that there are."""
    names = ", ".join(one.from_name for one in controls)
    if from_name is not None:
        fitting = [one for one in controls if one.from_name == from_name]
        if not fitting:
            raise _invalid(
                "from_name", f"the project has no Choices tag called {from_name!r}; it has {names or 'none'}"
            )
    elif len(controls) != 1:
        known = f"{len(controls)} Choices tags, name one of {names}" if controls else "no Choices tag, so no classes"
        raise _invalid("from_name", f"the project has {known}")
    else:
        fitting = list(controls)
    if fitting[0].modality is None:
        tag = fitting[0].input_tag + (" by URL" if fitting[0].url else "")
        raise _invalid("project", f"its input is {tag}; read are {', '.join(_INPUTS)}")
    return fitting[0]


def annotations(task: Mapping[str, Any], control: Control) -> list[Labelled | str]:
    """What each annotation of a task says: one class, or the reason why it says none."""
    return [_labelled(one, control) for one in task.get("annotations") or ()]


def _labelled(annotation: Mapping[str, Any], control: Control) -> Labelled | str:
    if annotation.get("was_cancelled"):
        return "the annotation was cancelled"
    chosen: list[Any] = []
    for item in annotation.get("result") or ():
        if item.get("type") == "choices" and item.get("from_name") == control.from_name:
            chosen += (item.get("value") or {}).get("choices") or []
    if not chosen:
        return "the annotation is empty"
    if len(chosen) > 1 or not isinstance(chosen[0], str):
        return f"the annotation names {max(len(chosen), 2)} classes"
    label = control.read(chosen[0])
    if control.classes and label not in control.classes:
        return f"the annotation names the class {label!r}, which the label config lacks"
    stamp = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    return Labelled(int(annotation.get("id") or 0), label, stamp, bool(annotation.get("ground_truth")))


def samples(task: Mapping[str, Any], control: Control, policy: AnnotationPolicy) -> Iterator[Sample | Left]:
    """The samples of a task: one, or none with the reason; with policy `all` one an annotation."""
    number = int(task["id"])
    said = annotations(task, control)
    labelled = [one for one in said if isinstance(one, Labelled)]
    if policy == "all":
        yield from (Left(number, one) for one in said if isinstance(one, str))
    if not labelled:
        if policy != "all" or not said:
            yield Left(number, str(said[-1]) if said else "no annotation")
        return
    value = field_of(task, control)
    if value is None:
        yield Left(number, f"its data has no {control.field}")
        return
    disagrees = len({one.label for one in labelled}) > 1
    if policy == "all":
        yield from (Sample(f"{number}:{one.annotation}", number, one.label, value, disagrees) for one in labelled)
        return
    label = decide(labelled, policy)
    yield Sample(str(number), number, label[0], value, disagrees) if len(label) == 1 else Left(number, _why(label))


def decide(labelled: Sequence[Labelled], policy: AnnotationPolicy) -> list[str]:
    """The class that a task has, or several where its annotations are in conflict, or none where none counts."""
    match policy:
        case "latest" | "all":
            return [max(labelled, key=lambda one: (one.updated_at, one.annotation)).label]
        case "majority":
            counted = Counter(one.label for one in labelled)
            most = max(counted.values())
            return [label for label, count in counted.items() if count == most]
        case "ground_truth":
            return list(dict.fromkeys(one.label for one in labelled if one.ground_truth))


def _why(labels: Sequence[str]) -> str:
    return f"its annotators are in conflict: {', '.join(labels)}" if labels else "no annotation is ground truth"


def field_of(task: Mapping[str, Any], control: Control) -> Any:
    """The input of a task; None when it is missing or empty."""
    value: Any = task.get("data") or {}
    for part in control.field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if value not in ("", {}, []) else None


def task_of(sample_name: str) -> int | None:
    """The task that a sample is; None for a sample of something else."""
    number = sample_name.partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def result(control: Control, label: str) -> list[dict[str, Any]]:
    """A class as the result of an annotation or a prediction."""
    value = {"choices": [control.write(label)]}
    return [{"from_name": control.from_name, "to_name": control.to_name, "type": "choices", "value": value}]


def _invalid(place: str, msg: str) -> Invalid:
    return Invalid(f"{place}: {msg}", errors=[FieldError(loc=[place], msg=msg)])
