"""Rankings in the import formats of labelling tools: one generator per format, one dict. Pure."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.dataset import Modality
from service.domain.verdict import FLAGGED
from service.platforms.label_studio import Control, choices_result, task_number

_OPTIONS = 50  # more classes than this are too many options for one question
_NAMESPACE = uuid.UUID("6f1a4c1e-64a5-5a0e-9a5b-0c5b1f3f9d57")


@dataclass(frozen=True)
class ExportedSample:
    """One ranked sample with its content. `score` is between 0 and 1, higher = more suspicious; `rank` counts from 1.

    `confidence` of the suggestion is None where it is only an order: people see it in the tool.
    """

    rank: int
    id: str
    index: int
    score: float
    given: str
    suggested: str
    confidence: float | None
    verdict: str
    text: str | None = None
    path: str | None = None
    size: tuple[int, int] | None = None  # of an image: width, height
    features: Mapping[str, Any] | None = None

    @property
    def flagged(self) -> bool:
        """Whether the job flags it as mislabeled or anomalous."""
        return self.verdict in FLAGGED


@dataclass(frozen=True)
class ExportContext:
    """Properties of the dataset, and names in the tool.

    `origin` is the dataset's format; it starts with the name of the tool whose ids the samples have, if any. `field` is the
    Choices tag, question or feature of the class, `about` the tag of the input, `root` a prefix of image paths.
    `confidence_told`: whether the confidence of suggestions is a probability, which the tool shows.
    """

    job_id: str
    modality: Modality
    classes: tuple[str, ...]
    origin: str = ""
    field: str = "label"
    about: str | None = None
    root: str = ""
    confidence_told: bool = False

    @property
    def agent(self) -> str:
        """Name of the model that made the suggestions."""
        return f"suspects-{self.job_id}"

    def image(self, one: ExportedSample) -> str:
        """Path of an image in the tool."""
        return f"{self.root}{one.path or one.id}"


Items = Iterator[dict[str, Any]]


def label_studio(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Tasks with predictions, for the import of a project; for samples that are tasks already only predictions.

    `POST /api/projects/{id}/import/predictions` takes the latter, one for each task.
    """
    about = export.about or {"tabular": "table"}.get(export.modality, export.modality)
    control = Control(export.field, about, export.classes, {}, about, about, url=False)
    seen: set[int] = set()
    for one in suspects:
        prediction = {
            "result": choices_result(control, one.suggested),
            "score": one.score,
            "model_version": export.agent,
        }
        task = task_number(one.id) if export.origin.startswith("label studio") else None
        if task is None:
            yield {"data": {**_data(one, export), **_facts(one)}, "predictions": [prediction]}
        elif task not in seen:  # the first sample of a task is the most suspicious one
            seen.add(task)
            yield {"task": task, **prediction}


def _data(one: ExportedSample, export: ExportContext) -> dict[str, Any]:
    if export.modality == "image":
        return {"image": export.image(one)}
    return {"table": dict(one.features or {})} if export.modality == "tabular" else {"text": one.text}


def _facts(one: ExportedSample) -> dict[str, Any]:
    """Results of a sample as columns, which a tool can show and sort by."""
    return {
        "sample_id": one.id,
        "rank": one.rank,
        "suspicion": one.score,
        "given_label": one.given,
        "suggested_label": one.suggested,
        **_sure("suggested_confidence", one),
        "verdict": one.verdict,
    }


def _sure(name: str, one: ExportedSample) -> dict[str, Any]:
    return {} if one.confidence is None else {name: one.confidence}


def argilla(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Records as Argilla's `dataset.records.from_json` reads them: the suggestion pre-selected, the rest as metadata."""
    for one in suspects:
        yield {
            "id": one.id,
            "status": "pending",
            "fields": _data(one, export),
            "metadata": {**_facts(one), "job": export.job_id},
            "suggestions": {export.field: {"value": one.suggested, **_sure("score", one), "agent": export.agent}},
            "responses": {},
            "vectors": {},
        }


def doccano(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Lines for doccano's import as JSONL with the columns `text` and `label`; doccano keeps all other keys as meta."""
    for one in suspects:
        yield {"text": one.text, "label": [one.given], **_facts(one), "job": export.job_id}


def cvat(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Bodies of `POST /api/issues`, one for each flagged image, without the number of the CVAT job.

    `frame` is the image's number in an export of CVAT, else its position in the dataset.
    """
    for one in suspects:
        if one.flagged:
            width, height = one.size or (1, 1)
            own = export.origin.startswith("cvat") and one.id.isascii() and one.id.isdigit()
            text = f"suspect {one.score:.2f}: labelled {one.given}"
            doubt = f", looks like {one.suggested}" if one.suggested != one.given else ", unlike its class"
            frame = int(one.id) if own else one.index
            yield {"frame": frame, "position": [0, 0, width, height], "message": f"{text}{doubt} ({export.image(one)})"}


def prodigy(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Tasks of the `choice` interface without an answer, most suspicious first. Prodigy shows them in this order."""
    for one in suspects:
        shown = export.classes if len(export.classes) <= _OPTIONS else tuple(dict.fromkeys((one.suggested, one.given)))
        meta = {key: value for key, value in _facts(one).items() if not key.startswith("suggested")}
        suggestion = {"suggested": one.suggested, **_sure("score", one), "job": export.job_id}
        yield {
            **_data(one, export),
            "options": [{"id": name, "text": name} for name in shown],
            "accept": [one.suggested],
            "config": {"choice_style": "single"},
            "meta": {**meta, **suggestion},
        }


def labelbox(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Predictions for Labelbox's model-assisted labelling: a radio answer for each data row, by id or global key."""
    for one in suspects:
        row = {"id": one.id} if export.origin.startswith("labelbox, by id") else {"globalKey": one.id}
        yield {
            "uuid": str(uuid.uuid5(_NAMESPACE, f"{export.job_id} {one.id}")),
            "dataRow": row,
            "name": export.field,
            "answer": {"name": one.suggested, **_sure("confidence", one)},
        }


def fiftyone(suspects: Iterable[ExportedSample], export: ExportContext) -> Items:
    """Samples for `fo.Sample.from_dict` and `merge_samples`, which match by `filepath`."""
    for one in suspects:
        suggested = {"_cls": "Classification", "tags": [], "label": one.suggested, **_sure("confidence", one)}
        yield {
            "filepath": export.image(one),
            "tags": ["suspect"] if one.flagged else [],
            "metadata": None,
            "_media_type": "image",
            "suspects_id": one.id,
            "given_label": one.given,
            "suggested": suggested,
            "mistakenness": one.score,
            "suspicion_rank": one.rank,
            "verdict": one.verdict,
            "suspects_job": export.job_id,
        }


@dataclass(frozen=True)
class ToolFormat:
    """How a tool's file is written: its items, each on a line of its own (`lines`) or in one document with text `around`.

    With `flagged_images` only flagged images are items, with their sizes, which takes opening them.
    """

    items: Callable[[Iterable[ExportedSample], ExportContext], Items]
    lines: bool = False
    around: tuple[str, str] = ("[\n", "\n]\n")
    flagged_images: bool = False

    def pieces(self, suspects: Iterable[ExportedSample], export: ExportContext) -> Iterator[str]:
        """The text of the file in pieces, about one for each item."""
        head, tail = ("", "") if self.lines else self.around
        yield head
        between = ""
        for item in self.items(suspects, export):
            yield between + json.dumps(item, ensure_ascii=False)
            between = "\n" if self.lines else ",\n"
        yield "\n" if self.lines and between else tail


# By the names of service.domain.exports, which says what each is called and which data the tool takes.
TOOL_FORMATS: dict[str, ToolFormat] = {
    "label_studio": ToolFormat(label_studio),
    "argilla": ToolFormat(argilla),
    "doccano": ToolFormat(doccano, lines=True),
    "cvat": ToolFormat(cvat, flagged_images=True),
    "prodigy": ToolFormat(prodigy, lines=True),
    "labelbox": ToolFormat(labelbox, lines=True),
    "fiftyone": ToolFormat(fiftyone, around=('{"samples": [\n', "\n]}\n")),
}
