"""Export files with one record per sample: doccano JSONL, Prodigy JSONL, Argilla records, Labelbox NDJSON. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.domain.dataset import DatasetSpec, Modality
from service.platforms.annotations import Annotation, person
from service.platforms.files import (
    Records,
    SkippedRecord,
    ToolSample,
    ToolTable,
    annotated_samples,
    first_records,
    image_column,
    map_records,
    no_classes,
    only_column,
    scan_records,
    single_class,
)

_ANSWERS = {"reject": "it was rejected", "ignore": "it was ignored"}


def is_doccano(record: Mapping[str, Any]) -> bool:
    """Whether a record is an example with a list of labels, which may be empty."""
    label = record.get("label", record.get("Comments"))
    return "id" in record and ("text" in record or "filename" in record) and isinstance(label, list)


def doccano(records: Records, _spec: DatasetSpec) -> ToolTable:
    """Examples of a text or image classification project; their meta is not an input."""
    seen = first_records(records)
    column = "text" if "text" in seen[0] else "filename"
    given = [record.get("label") or record.get("entities") for record in seen]
    if any(given) and all(_spans(labels) for labels in given if labels):
        raise no_classes("the export's labels are spans of text; a class for the whole text is needed")

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        labels = record.get("label") or []
        label = single_class(labels)
        if label is None or _spans(labels):
            yield SkippedRecord(name, f"it has {len(labels)} labels" if labels else "no label")
        else:
            yield ToolSample(name, label, {column: record.get(column)})

    image = column if column == "filename" else None
    modality: Modality = "image" if image else "text"
    return ToolTable("doccano jsonl", "example", "label", (column,), map_records(records, "id", read), modality, image)


def _spans(labels: Any) -> bool:
    return isinstance(labels, list) and bool(labels) and isinstance(labels[0], (list, dict))


def is_prodigy(record: Mapping[str, Any]) -> bool:
    """Whether a record is a task with an answer."""
    return record.get("answer") in ("accept", *_ANSWERS) or {"_input_hash", "_task_hash"} <= set(record)


def prodigy(records: Records, spec: DatasetSpec) -> ToolTable:
    """Answers of the `choice` interface, or accepted labels of the binary ones; sessions may be in conflict."""
    seen = first_records(records)
    image = image_column([{"image": record.get("image")} for record in seen])
    column = image or "text"
    if all("spans" in record and not {"accept", "label"} & set(record) for record in seen):
        raise no_classes("the answers are spans of text; a class for the whole text is needed")
    votes: dict[str, list[Annotation | str]] = {}
    for place, record in enumerate(records()):
        votes.setdefault(_input(place, record), []).append(_answer(place, record))

    def items() -> Iterator[ToolSample | SkippedRecord]:
        left = set(votes)
        for place, record in enumerate(records()):
            name = _input(place, record)
            if name in left:
                left.discard(name)
                yield from annotated_samples(name, {column: record.get(column)}, votes[name], spec)

    return ToolTable("prodigy jsonl", "task", "label", (column,), items, "image" if image else "text", image)


def _input(place: int, record: Mapping[str, Any]) -> str:
    """Name of an input: its hash, the same for all annotators."""
    return str(record.get("_input_hash", f"row-{place}"))


def _answer(place: int, record: Mapping[str, Any]) -> Annotation | str:
    answer, who = record.get("answer"), person(record.get("_annotator_id") or record.get("_session_id"))
    if answer != "accept":
        return _ANSWERS.get(str(answer), "no answer")
    accepted = record.get("accept")
    if isinstance(accepted, list):
        chosen = single_class(accepted)
        return f"{len(accepted)} options were accepted" if chosen is None else Annotation(place, chosen, "", False, who)
    if isinstance(record.get("label"), str):
        return Annotation(place, record["label"], "", False, who)
    return "its answer names no class"


def is_argilla(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of Argilla, from its SDK or its API."""
    return isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), (dict, list))


def argilla(records: Records, spec: DatasetSpec) -> ToolTable:
    """Submitted responses to one question with labels."""
    answers = scan_records(records, _responses)
    questions = dict.fromkeys(question for question, value, _ in answers if isinstance(value, (str, int)))
    if not questions:
        raise no_classes("no record has a submitted response that is one label")
    question = only_column(questions, spec, "question")
    fields = [record["fields"] for record in first_records(records)]
    image = image_column(fields)
    texts = (name for row in fields for name, value in row.items() if isinstance(value, str))
    columns = (image,) if image else tuple(dict.fromkeys(texts))

    def read(name: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        answers: list[Annotation | str] = []
        mine = ((value, who) for asked, value, who in _responses(record) if asked == question)
        for place, (value, who) in enumerate(mine):
            label = single_class(value) if isinstance(value, list) else single_class([value])
            given = "its response is not one label" if label is None else Annotation(place, label, "", False, who)
            answers.append(given)
        if not answers:
            pending = record.get("status") == "pending"
            answers.append("the record is pending: no response was submitted, or too few" if pending else "no response")
        external = str(record.get("external_id") or name)
        yield from annotated_samples(
            external, {column: record["fields"].get(column) for column in columns}, answers, spec
        )

    items = map_records(records, "id", read)
    return ToolTable("argilla records", "record", question, columns, items, "image" if image else "text", image)


def _responses(record: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Question, value and annotator of each submitted response; the SDK groups them by question, the API by annotator."""
    given = record.get("responses") or {}
    if isinstance(given, dict):
        if record.get("status") == "pending":
            return  # the SDK's file does not mark drafts and discarded responses
        for question, each_ in given.items():
            for one in each_:
                if one.get("status", "submitted") == "submitted":
                    yield question, one.get("value"), person(one.get("user_id"))
        return
    for one in given:
        if one.get("status", "submitted") == "submitted":
            who = person(one.get("user_id"))
            if "question_name" in one:
                yield one["question_name"], one.get("value"), who
            for question, answers in (one.get("values") or {}).items():
                yield question, answers.get("value"), who


def is_labelbox(record: Mapping[str, Any]) -> bool:
    """Whether a record is a data row with its projects."""
    return isinstance(record.get("data_row"), dict) and isinstance(record.get("projects"), dict)


def labelbox(records: Records, spec: DatasetSpec) -> ToolTable:
    """Radio classifications of whole data rows; sample ids are global keys when every row has one, else row ids."""
    keyed = all(scan_records(records, lambda record: [bool(record["data_row"].get("global_key"))]))
    names = scan_records(
        records, lambda record: [one["name"] for label in _labels(record) for one in _classifications(label)]
    )
    found = [str(name) for name in dict.fromkeys(names)]
    if not found:
        raise no_classes("no data row has a classification")
    name_of = only_column(found, spec, "classification")
    image = image_column([{"row_data": record["data_row"].get("row_data")} for record in first_records(records)])

    def read(_: str, record: dict[str, Any]) -> Iterator[ToolSample | SkippedRecord]:
        row = record["data_row"]
        answers = [_radio(place, label, name_of) for place, label in enumerate(_labels(record))]
        name = str(row["global_key"] if keyed else row["id"])
        yield from annotated_samples(name, {"row_data": row.get("row_data")}, answers, spec)

    title = "labelbox, by global key" if keyed else "labelbox, by id"
    modality: Modality = "image" if image else "text"
    return ToolTable(title, "data row", name_of, ("row_data",), map_records(records, "id", read), modality, image)


def _labels(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for project in record["projects"].values():
        yield from project.get("labels") or ()


def _classifications(label: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((label.get("annotations") or {}).get("classifications") or ())


def _radio(place: int, label: Mapping[str, Any], name: str) -> Annotation | str:
    given = [one for one in _classifications(label) if one.get("name") == name]
    if not given:
        return f"its label has no {name}"
    answer = given[0].get("radio_answer")
    if not isinstance(answer, dict):
        return f"its {name} is not one answer of a radio"
    details = label.get("label_details") or {}
    stamp = str(details.get("updated_at") or details.get("created_at") or "")
    known = bool(details.get("is_benchmark_reference")), person(details.get("created_by"))
    return Annotation(place, str(answer["name"]), stamp, *known)
