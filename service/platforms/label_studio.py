"""Label Studio's task format: labelled samples from tasks, predictions for tasks. Pure.

The label config of a project is XML. `<Choices name=N toName=M>` has the classes, the tag with the name M the input; so
have `<Rating>`, whose classes are 1 to 5, and `<Taxonomy>`, of which the first level is the class. An item of an
annotation's result counts when its type is that of the tag, its `from_name` is N and it is of the whole input; a
`<Choice alias>` replaces the class by its alias. The format is here and not in service.label_studio, which does I/O:
readers and writers of files use it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from service.domain.dataset import AnnotationPolicy, Modality
from service.domain.errors import invalid
from service.platforms.annotations import Annotation, Vote, no_single_label, person, votes_of, winning_labels
from service.platforms.label_studio_results import classes_in, is_of_region, items_of, regions_of

ControlKind = Literal["choices", "rating", "taxonomy"]

_CONTROLS: dict[str, ControlKind] = {"Choices": "choices", "Rating": "rating", "Taxonomy": "taxonomy"}
_STARS = 5  # of a Rating that does not say
_INPUTS: dict[str, Modality] = {"text": "text", "hypertext": "text", "image": "image", "table": "tabular"}


@dataclass(frozen=True)
class Control:
    """One Choices, Rating or Taxonomy tag of a label config: classes in order, aliases by class, and its input.

    `field` is the place of the input in a task's data, with dots for nested objects.
    """

    from_name: str
    to_name: str
    classes: tuple[str, ...]
    aliases: Mapping[str, str]
    input_tag: str
    field: str
    url: bool  # the field has the URL of the input, not the input
    kind: ControlKind = "choices"

    @property
    def modality(self) -> Modality | None:
        """Modality of a sample; None for inputs that no model takes."""
        return None if self.url and self.input_tag != "image" else _INPUTS.get(self.input_tag)

    def class_of(self, choice: str) -> str:
        """The class of a choice in a result."""
        return next((name for name, alias in self.aliases.items() if alias == choice), choice)

    def choice_of(self, label: str) -> str:
        """The choice of a class, for a result."""
        return self.aliases.get(label, label)


@dataclass(frozen=True)
class TaskSample:
    """A sample of a task. `name` is the sample's id; `disagrees`: the task has annotations of several classes."""

    name: str
    task: int
    label: str
    value: Any
    disagrees: bool
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True)
class SkippedTask:
    """A task, or an annotation of it, that gives no sample, and the reason; `votes` where its annotators are in conflict."""

    task: int
    reason: str
    votes: tuple[Vote, ...] = ()


def parse_config(config: str) -> list[Control]:
    """All tags of classes of a label config that have an input. Raises Invalid for XML that cannot be parsed."""
    try:
        root = fromstring(config)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise invalid(["project"], f"its label config is not XML that can be read: {type(error).__name__}") from error
    named = {tag.get("name"): tag for tag in root.iter() if tag.get("name")}
    found = []
    for tag in root.iter():
        source = named.get((tag.get("toName") or "").split(",")[0])
        known = tag.tag in _CONTROLS and tag.get("name") and source is not None
        if known and source is not None and (source.get("value") or "").startswith("$"):
            found.append(_control(tag, source))
    return found


def _control(tag: Element, source: Element) -> Control:
    kind = _CONTROLS[tag.tag]
    # The classes of a Taxonomy are its first level.
    choices = [one for one in (tag.findall("Choice") if kind == "taxonomy" else tag.iter("Choice")) if one.get("value")]
    classes = dict.fromkeys(one.get("value") or "" for one in choices)
    if kind == "rating":
        most = tag.get("maxRating") or ""
        classes = dict.fromkeys(str(stars + 1) for stars in range(int(most) if most.isdecimal() else _STARS))
    return Control(
        from_name=tag.get("name") or "",
        to_name=source.get("name") or "",
        classes=tuple(classes),
        aliases={one.get("value") or "": one.get("alias") or "" for one in choices if one.get("alias")},
        input_tag=str(source.tag).lower(),
        field=(source.get("value") or "").removeprefix("$"),
        url=source.get("valueType") == "url",
        kind=kind,
    )


def choose_control(controls: Sequence[Control], from_name: str | None) -> Control:
    """The tag of the class: the one called `from_name`, else the only Choices tag, else the only tag of another kind.

    Raises Invalid, with the names of all tags, when it is unclear which one.
    """
    usual = [one for one in controls if one.kind == "choices"] or list(controls)
    names = ", ".join(one.from_name for one in controls)
    if from_name is not None:
        fitting = [one for one in controls if one.from_name == from_name]
        if not fitting:
            raise invalid(
                ["from_name"], f"the project has no Choices tag called {from_name!r}; it has {names or 'none'}"
            )
    elif len(usual) != 1:
        noun = "Choices" if usual and usual[0].kind == "choices" else "Rating and Taxonomy"
        known = f"{len(usual)} {noun} tags, name one of {names}" if usual else "no Choices tag, so no classes"
        raise invalid(["from_name"], f"the project has {known}")
    else:
        fitting = usual
    if fitting[0].modality is None:
        tag = fitting[0].input_tag + (" by URL" if fitting[0].url else "")
        raise invalid(["project"], f"its input is {tag}; supported are {', '.join(_INPUTS)}")
    return fitting[0]


def read_annotations(task: Mapping[str, Any], control: Control) -> list[Annotation | str]:
    """All annotations of a task; for one without a single class the reason as text."""
    return [_read_annotation(one, control) for one in task.get("annotations") or ()]


def _read_annotation(annotation: Mapping[str, Any], control: Control) -> Annotation | str:
    if annotation.get("was_cancelled"):
        return "the annotation was cancelled"
    items = items_of(annotation)
    regions = regions_of(items)
    own = [item for item in items if item.get("type") == control.kind and item.get("from_name") == control.from_name]
    chosen = [name for item in own if not is_of_region(item, regions) for name in classes_in(item)]
    if not chosen and any(is_of_region(item, regions) for item in own):
        return "the annotation names classes of regions only, not of the whole input"
    if not chosen:
        return "the annotation is empty"
    if len(chosen) > 1 or not isinstance(chosen[0], str):
        return f"the annotation names {max(len(chosen), 2)} classes"
    label = control.class_of(chosen[0])
    if control.classes and label not in control.classes:
        return f"the annotation names the class {label!r}, which the label config lacks"
    stamp = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    known = bool(annotation.get("ground_truth")), person(annotation.get("completed_by"))
    return Annotation(int(annotation.get("id") or 0), label, stamp, *known)


def task_samples(
    task: Mapping[str, Any], control: Control, policy: AnnotationPolicy
) -> Iterator[TaskSample | SkippedTask]:
    """The sample of a task, or the reason why there is none; with the policy `all` one sample for each annotation."""
    number = int(task["id"])
    read = read_annotations(task, control)
    labelled = [one for one in read if isinstance(one, Annotation)]
    if policy == "all":
        yield from (SkippedTask(number, one) for one in read if isinstance(one, str))
    if not labelled:
        if policy != "all" or not read:
            yield SkippedTask(number, str(read[-1]) if read else "no annotation")
        return
    value = task_input(task, control)
    if value is None:
        yield SkippedTask(number, f"its data has no {control.field}")
        return
    disagrees = len({one.label for one in labelled}) > 1
    if policy == "all":
        yield from (
            TaskSample(f"{number}:{one.number}", number, one.label, value, disagrees, votes_of([one]))
            for one in labelled
        )
        return
    label, votes = winning_labels(labelled, policy), votes_of(labelled)
    yield (
        TaskSample(str(number), number, label[0], value, disagrees, votes)
        if len(label) == 1
        else SkippedTask(number, no_single_label(label), votes)
    )


def task_input(task: Mapping[str, Any], control: Control) -> Any:
    """The input of a task; None when missing or empty."""
    value: Any = task.get("data") or {}
    for part in control.field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if value not in ("", {}, []) else None


def task_number(sample_name: str) -> int | None:
    """Number of the task that a sample comes from; None for other samples."""
    number = sample_name.partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def choices_result(control: Control, label: str) -> list[dict[str, Any]]:
    """The `result` of an annotation or a prediction with this class; of a taxonomy, a path of the first level alone."""
    choice = control.choice_of(label)
    forms: dict[ControlKind, Callable[[], Any]] = {
        "choices": lambda: [choice],
        "rating": lambda: int(choice),
        "taxonomy": lambda: [[choice]],
    }
    value = {control.kind: forms[control.kind]()}
    return [{"from_name": control.from_name, "to_name": control.to_name, "type": control.kind, "value": value}]
