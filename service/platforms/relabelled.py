"""Records of labelling tools' exports with another class in the place of theirs. Pure.

Every answer to the question is changed, so that the record has this class by whatever policy it is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.platforms.label_studio_results import is_of_region, items_of, regions_of

Record = dict[str, Any]


@dataclass(frozen=True)
class Relabelling:
    """How records of one tool are named and changed.

    `name(record, place)` is the id of its sample; `change(record, field, label)` gives its answers to the question `field` the
    class `label`, in place.
    """

    name: Callable[[Mapping[str, Any], int], str]
    change: Callable[[Record, str, str], None]


def _by_id(record: Mapping[str, Any], place: int) -> str:
    held = record.get("id")
    return f"row-{place}" if held in (None, "") else str(held)


def _label_studio(task: Record, tag: str, label: str) -> None:
    for annotation in task["annotations"]:
        items = items_of(annotation)
        regions = regions_of(items)
        for item in items:
            value = item.get("value") if item.get("from_name") == tag else None
            if not isinstance(value, dict) or is_of_region(item, regions):
                continue
            if "choices" in value:
                value["choices"] = [label]
            elif "rating" in value:
                value["rating"] = float(label) if "." in label else int(label)
            elif "taxonomy" in value:
                value["taxonomy"] = [[label]]


def _doccano(example: Record, _field: str, label: str) -> None:
    example["label"] = [label]


def _prodigy(task: Record, _field: str, label: str) -> None:
    if task.get("answer") == "accept":
        if isinstance(task.get("accept"), list):
            task["accept"] = [label]
        else:
            task["label"] = label


def _argilla_name(record: Mapping[str, Any], place: int) -> str:
    return str(record.get("external_id") or _by_id(record, place))


def _argilla(record: Record, question: str, label: str) -> None:
    for answer in _argilla_answers(record.get("responses") or {}, question):
        answer["value"] = [label] if isinstance(answer.get("value"), list) else label


def _argilla_answers(responses: Any, question: str) -> Iterator[Record]:
    """The objects with the value of each response, as the SDK and as the API write them."""
    if isinstance(responses, dict):
        yield from responses.get(question) or ()
        return
    for one in responses:
        if one.get("question_name") == question:
            yield one
        held = (one.get("values") or {}).get(question)
        if isinstance(held, dict):
            yield held


def _labelbox(row: Record, name: str, label: str) -> None:
    for project in row["projects"].values():
        for one in project.get("labels") or ():
            for given in (one.get("annotations") or {}).get("classifications") or ():
                answer = given.get("radio_answer")
                if given.get("name") == name and isinstance(answer, dict):
                    answer |= {"name": label} | ({"value": label} if "value" in answer else {})


# By the titles of the tables that service.platforms reads of them.
RELABELLINGS: dict[str, Relabelling] = {
    "label studio json": Relabelling(_by_id, _label_studio),
    "doccano jsonl": Relabelling(_by_id, _doccano),
    "prodigy jsonl": Relabelling(lambda task, place: str(task.get("_input_hash", f"row-{place}")), _prodigy),
    "argilla records": Relabelling(_argilla_name, _argilla),
    "labelbox, by global key": Relabelling(lambda row, _place: str(row["data_row"]["global_key"]), _labelbox),
    "labelbox, by id": Relabelling(lambda row, _place: str(row["data_row"]["id"]), _labelbox),
}
