"""Exports that are records: doccano's JSONL, Prodigy's, Argilla's records, Labelbox's NDJSON. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.domain.dataset import DatasetSpec, Modality
from service.platforms.files import (
    Item,
    Records,
    Table,
    Unused,
    each,
    first,
    image_column,
    one_of,
    only,
    settled,
    surveyed,
    useless,
)
from service.platforms.label_studio import Labelled

_ANSWERS = {"reject": "it was rejected", "ignore": "it was ignored"}


def is_doccano(record: Mapping[str, Any]) -> bool:
    """Whether it is an example with its labels in a list, which may be empty."""
    label = record.get("label", record.get("Comments"))
    return "id" in record and ("text" in record or "filename" in record) and isinstance(label, list)


def doccano(records: Records, _spec: DatasetSpec) -> Table:
    """Examples of a text or image classification project; their meta is not learnt from."""
    seen = first(records)
    column = "text" if "text" in seen[0] else "filename"
    if all(_spans(record.get("label")) for record in seen if record.get("label")) and any(r.get("label") for r in seen):
        raise useless("the export's labels are spans of text; a class for the whole text is needed")

    def read(name: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        labels = record.get("label") or []
        label = one_of(labels)
        if label is None or _spans(labels):
            yield Unused(name, f"it has {len(labels)} labels" if labels else "no label")
        else:
            yield Item(name, label, {column: record.get(column)})

    image = column if column == "filename" else None
    modality: Modality = "image" if image else "text"
    return Table("doccano jsonl", "example", "label", (column,), each(records, "id", read), modality, image)


def _spans(labels: Any) -> bool:
    return isinstance(labels, list) and bool(labels) and isinstance(labels[0], (list, dict))


def is_prodigy(record: Mapping[str, Any]) -> bool:
    """Whether it is a task with an answer."""
    return record.get("answer") in ("accept", *_ANSWERS) or {"_input_hash", "_task_hash"} <= set(record)


def prodigy(records: Records, spec: DatasetSpec) -> Table:
    """Answers of the `choice` interface, or accepted labels of the binary ones; sessions that disagree are in conflict."""
    seen = first(records)
    image = image_column([{"image": record.get("image")} for record in seen])
    column = image or "text"
    votes: dict[str, list[Labelled | str]] = {}
    for place, record in enumerate(records()):
        votes.setdefault(_input(place, record), []).append(_answer(place, record))

    def items() -> Iterator[Item | Unused]:
        left = set(votes)
        for place, record in enumerate(records()):
            name = _input(place, record)
            if name in left:
                left.discard(name)
                yield from settled(name, {column: record.get(column)}, votes[name], spec)

    return Table("prodigy jsonl", "task", "label", (column,), items, "image" if image else "text", image)


def _input(place: int, record: Mapping[str, Any]) -> str:
    """The same input has the same hash, whoever answered."""
    return str(record.get("_input_hash", f"row-{place}"))


def _answer(place: int, record: Mapping[str, Any]) -> Labelled | str:
    answer = record.get("answer")
    if answer != "accept":
        return _ANSWERS.get(str(answer), "no answer")
    accepted = record.get("accept")
    if isinstance(accepted, list):
        chosen = one_of(accepted)
        return f"{len(accepted)} options were accepted" if chosen is None else Labelled(place, chosen, "", False)
    if isinstance(record.get("label"), str):
        return Labelled(place, record["label"], "", False)
    return "its answer names no class"


def is_argilla(record: Mapping[str, Any]) -> bool:
    """Whether it is a record of Argilla's, from its SDK or its API."""
    return isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), (dict, list))


def argilla(records: Records, spec: DatasetSpec) -> Table:
    """Submitted responses to one question with labels."""
    said = surveyed(records, _responses)
    questions = dict.fromkeys(question for question, value in said if isinstance(value, (str, int)))
    if not questions:
        raise useless("no record has a submitted response that is one label")
    question = only(questions, spec, "question")
    fields = [record["fields"] for record in first(records)]
    image = image_column(fields)
    texts = (name for row in fields for name, value in row.items() if isinstance(value, str))
    columns = (image,) if image else tuple(dict.fromkeys(texts))

    def read(name: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        said: list[Labelled | str] = []
        for place, value in enumerate(value for asked, value in _responses(record) if asked == question):
            label = one_of(value) if isinstance(value, list) else one_of([value])
            said.append("its response is not one label" if label is None else Labelled(place, label, "", False))
        if not said:
            pending = record.get("status") == "pending"
            said.append("the record is pending: no response was submitted, or too few" if pending else "no response")
        external = str(record.get("external_id") or name)
        yield from settled(external, {column: record["fields"].get(column) for column in columns}, said, spec)

    items = each(records, "id", read)
    return Table("argilla records", "record", question, columns, items, "image" if image else "text", image)


def _responses(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Question and value of every response that was submitted: by question, or by annotator as the API has it."""
    given = record.get("responses") or {}
    if isinstance(given, dict):
        if record.get("status") == "pending":
            return  # the SDK's file says of a response neither that it is a draft nor that it was discarded
        for question, each_ in given.items():
            yield from ((question, one.get("value")) for one in each_ if one.get("status", "submitted") == "submitted")
        return
    for one in given:
        if one.get("status", "submitted") == "submitted":
            if "question_name" in one:
                yield one["question_name"], one.get("value")
            yield from ((question, said.get("value")) for question, said in (one.get("values") or {}).items())


def is_labelbox(record: Mapping[str, Any]) -> bool:
    """Whether it is a data row with its projects."""
    return isinstance(record.get("data_row"), dict) and isinstance(record.get("projects"), dict)


def labelbox(records: Records, spec: DatasetSpec) -> Table:
    """Radio classifications of whole data rows; samples are called by global key where every row has one."""
    keyed = all(surveyed(records, lambda record: [bool(record["data_row"].get("global_key"))]))
    names = surveyed(
        records, lambda record: [one["name"] for label in _labels(record) for one in _classifications(label)]
    )
    found = [str(name) for name in dict.fromkeys(names)]
    if not found:
        raise useless("no data row has a classification")
    name_of = only(found, spec, "classification")
    image = image_column([{"row_data": record["data_row"].get("row_data")} for record in first(records)])

    def read(_: str, record: dict[str, Any]) -> Iterator[Item | Unused]:
        row = record["data_row"]
        said = [_radio(place, label, name_of) for place, label in enumerate(_labels(record))]
        name = str(row["global_key"] if keyed else row["id"])
        yield from settled(name, {"row_data": row.get("row_data")}, said, spec)

    title = "labelbox, by global key" if keyed else "labelbox, by id"
    modality: Modality = "image" if image else "text"
    return Table(title, "data row", name_of, ("row_data",), each(records, "id", read), modality, image)


def _labels(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for project in record["projects"].values():
        yield from project.get("labels") or ()


def _classifications(label: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((label.get("annotations") or {}).get("classifications") or ())


def _radio(place: int, label: Mapping[str, Any], name: str) -> Labelled | str:
    given = [one for one in _classifications(label) if one.get("name") == name]
    if not given:
        return f"its label has no {name}"
    answer = given[0].get("radio_answer")
    if not isinstance(answer, dict):
        return f"its {name} is not one answer of a radio"
    details = label.get("label_details") or {}
    stamp = str(details.get("updated_at") or details.get("created_at") or "")
    return Labelled(place, str(answer["name"]), stamp, bool(details.get("is_benchmark_reference")))
