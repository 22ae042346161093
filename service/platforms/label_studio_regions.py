"""Choices of regions of a text, as Label Studio exports them: each region is a sample of its own. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.domain.dataset import DatasetSpec
from service.platforms.annotations import Annotation, person
from service.platforms.files import SkippedRecord, ToolSample, annotated_samples
from service.platforms.label_studio_results import classes_in, is_of_region, items_of, region_text, regions_of

TEXT = "text"  # the column of the regions' texts


@dataclass
class _Region:
    """What the annotators say of the same place of a text."""

    name: str
    text: str | None
    answers: list[Annotation | str] = field(default_factory=list)


def region_samples(
    number: str, task: Mapping[str, Any], whole: Any, tag: str, spec: DatasetSpec
) -> Iterator[ToolSample | SkippedRecord]:
    """A sample for each region of a task that has a class by `tag`, with the id `task:region`.

    Regions of several annotators are one where they have the same place.
    """
    found: dict[str, _Region] = {}
    for place, annotation in enumerate(task.get("annotations") or ()):
        if annotation.get("was_cancelled"):
            continue
        for region_id, region, chosen in _chosen(annotation, tag):
            key = f"{region.get('start')} {region.get('end')} {region.get('startOffset')} {region.get('endOffset')}"
            if key not in found:
                taken = any(one.name == f"{number}:{region_id}" for one in found.values())
                name = f"{number}:{region_id}:{place}" if taken else f"{number}:{region_id}"
                found[key] = _Region(name, region_text(region, whole))
            found[key].answers.append(_answer(annotation, chosen))
    if not found:
        yield SkippedRecord(number, "none of its regions has a class")
    for one in found.values():
        if one.text is None:
            yield SkippedRecord(one.name, "the text of its region is not in the file")
        else:
            yield from annotated_samples(one.name, {TEXT: one.text}, one.answers, spec)


def _chosen(annotation: Mapping[str, Any], tag: str) -> Iterator[tuple[str, Mapping[str, Any], list[Any]]]:
    """Id, place and classes of each region of an annotation that has a class."""
    items = items_of(annotation)
    regions = regions_of(items)
    chosen: dict[str, list[Any]] = {}
    for item in items:
        if item.get("from_name") == tag and is_of_region(item, regions):
            chosen.setdefault(str(item.get("id")), []).extend(classes_in(item))
    return ((name, regions.get(name, {}), classes) for name, classes in chosen.items())


def _answer(annotation: Mapping[str, Any], chosen: list[Any]) -> Annotation | str:
    if len(chosen) != 1 or not isinstance(chosen[0], str):
        return f"its region has {len(chosen)} classes"
    stamp = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    known = bool(annotation.get("ground_truth")), person(annotation.get("completed_by"))
    return Annotation(int(annotation.get("id") or 0), chosen[0], stamp, *known)
