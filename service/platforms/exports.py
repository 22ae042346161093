"""A ranking in each labelling tool's own form: one generator a form, one dict. Pure: no I/O.

Shapes are those that the tool's own import takes; where they are from is said at each.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.domain.dataset import Modality
from service.platforms.label_studio import Control, result, task_of

_OPTIONS = 50  # classes that a reviewer can choose among in one question
_NAMESPACE = uuid.UUID("6f1a4c1e-64a5-5a0e-9a5b-0c5b1f3f9d57")


@dataclass(frozen=True)
class Suspect:
    """One ranked sample with what a reviewer looks at; `score` is the one that ranks, higher = more suspicious."""

    rank: int
    id: str
    index: int
    score: float
    given: str
    suggested: str
    confidence: float
    verdict: str
    text: str | None = None
    path: str | None = None
    size: tuple[int, int] | None = None  # of an image: width, height
    features: Mapping[str, Any] | None = None

    @property
    def flagged(self) -> bool:
        """Whether anything is wrong with it, as far as the job can tell."""
        return self.verdict != "clean"


@dataclass(frozen=True)
class Setting:
    """What the samples are, and what the tool calls things.

    `origin` begins with the tool whose ids the samples' ids are, if any; `field` is the Choices tag, question or feature
    that holds the class; `about` the tag that it is about; `root` is put before every image's path.
    """

    job_id: str
    modality: Modality
    classes: tuple[str, ...]
    origin: str = ""
    field: str = "label"
    about: str | None = None
    root: str = ""

    @property
    def agent(self) -> str:
        """Under which name the suggestions are in the tool."""
        return f"suspects-{self.job_id}"

    def image(self, one: Suspect) -> str:
        """Where the tool finds an image."""
        return f"{self.root}{one.path or one.id}"


Items = Iterator[dict[str, Any]]


def label_studio(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Tasks with predictions, for a project's import; of samples that are tasks already, their predictions alone.

    The latter is what `POST /api/projects/{id}/import/predictions` takes, once for each task.
    """
    about = export.about or {"tabular": "table"}.get(export.modality, export.modality)
    control = Control(export.field, about, export.classes, {}, about, about, url=False)
    seen: set[int] = set()
    for one in suspects:
        said = {
            "result": result(control, one.suggested),
            "score": one.score,
            "model_version": export.agent,
        }
        task = task_of(one.id) if export.origin.startswith("label studio") else None
        if task is None:
            yield {"data": {**_data(one, export), **_facts(one)}, "predictions": [said]}
        elif task not in seen:  # of a task with several samples the most suspicious one
            seen.add(task)
            yield {"task": task, **said}


def _data(one: Suspect, export: Setting) -> dict[str, Any]:
    if export.modality == "image":
        return {"image": export.image(one)}
    return {"table": dict(one.features or {})} if export.modality == "tabular" else {"text": one.text}


def _facts(one: Suspect) -> dict[str, Any]:
    """What is known of a sample, in columns that a tool can show and sort by."""
    return {
        "sample_id": one.id,
        "rank": one.rank,
        "suspicion": one.score,
        "given_label": one.given,
        "suggested_label": one.suggested,
        "suggested_confidence": one.confidence,
        "verdict": one.verdict,
    }


def argilla(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Records as Argilla's `dataset.records.from_json` reads them: the suggestion pre-selected, the rest as metadata."""
    for one in suspects:
        yield {
            "id": one.id,
            "status": "pending",
            "fields": _data(one, export),
            "metadata": {**_facts(one), "job": export.job_id},
            "suggestions": {export.field: {"value": one.suggested, "score": one.confidence, "agent": export.agent}},
            "responses": {},
            "vectors": {},
        }


def doccano(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Lines for doccano's import as JSONL with `text` and `label` as columns; every other key becomes meta."""
    for one in suspects:
        yield {"text": one.text, "label": [one.given], **_facts(one), "job": export.job_id}


def cvat(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Bodies of `POST /api/issues`, one for each flagged image; the number of the CVAT job is the caller's to add.

    `frame` is the image's own number in an export of CVAT's, else its place among the names in order.
    """
    for one in suspects:
        if one.flagged:
            width, height = one.size or (1, 1)
            own = export.origin.startswith("cvat") and one.id.isascii() and one.id.isdigit()
            said = f"suspect {one.score:.2f}: labelled {one.given}"
            doubt = f", looks like {one.suggested}" if one.suggested != one.given else ", unlike its class"
            frame = int(one.id) if own else one.index
            yield {"frame": frame, "position": [0, 0, width, height], "message": f"{said}{doubt} ({export.image(one)})"}


def prodigy(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Tasks of the `choice` interface without an answer, the most suspicious first: their order is the order shown."""
    for one in suspects:
        shown = export.classes if len(export.classes) <= _OPTIONS else tuple(dict.fromkeys((one.suggested, one.given)))
        meta = {key: value for key, value in _facts(one).items() if not key.startswith("suggested")}
        suggestion = {"suggested": one.suggested, "score": one.confidence, "job": export.job_id}
        yield {
            **_data(one, export),
            "options": [{"id": name, "text": name} for name in shown],
            "accept": [one.suggested],
            "config": {"choice_style": "single"},
            "meta": {**meta, **suggestion},
        }


def labelbox(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Predictions for Labelbox's model-assisted labelling: a radio answer for each data row, by id or global key."""
    for one in suspects:
        row = {"id": one.id} if export.origin.startswith("labelbox, by id") else {"globalKey": one.id}
        yield {
            "uuid": str(uuid.uuid5(_NAMESPACE, f"{export.job_id} {one.id}")),
            "dataRow": row,
            "name": export.field,
            "answer": {"name": one.suggested, "confidence": one.confidence},
        }


def fiftyone(suspects: Iterable[Suspect], export: Setting) -> Items:
    """Samples for `fo.Sample.from_dict` and `merge_samples`, which go by `filepath`."""
    for one in suspects:
        suggested = {"_cls": "Classification", "tags": [], "label": one.suggested, "confidence": one.confidence}
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
class Form:
    """How a tool's file is written: its items, what stands around them, and what they may be of."""

    items: Callable[[Iterable[Suspect], Setting], Items]
    modalities: tuple[Modality, ...]
    ending: str = "json"  # of the file's name; of any other the file is one object a line
    around: tuple[str, str] = ("[\n", "\n]\n")

    @property
    def lines(self) -> bool:
        """Whether it is one object a line, not one document."""
        return self.ending != "json"

    def pieces(self, suspects: Iterable[Suspect], export: Setting) -> Iterator[str]:
        """The file in pieces, an item each."""
        head, tail = ("", "") if self.lines else self.around
        yield head
        between = ""
        for item in self.items(suspects, export):
            yield between + json.dumps(item, ensure_ascii=False)
            between = "\n" if self.lines else ",\n"
        yield "\n" if self.lines and between else tail


ToolForm = Literal["label_studio", "argilla", "doccano", "cvat", "prodigy", "labelbox", "fiftyone"]
FORMS: dict[ToolForm, Form] = {
    "label_studio": Form(label_studio, ("text", "image", "tabular")),
    "argilla": Form(argilla, ("text", "image")),
    "doccano": Form(doccano, ("text",), "jsonl"),
    "cvat": Form(cvat, ("image",)),
    "prodigy": Form(prodigy, ("text", "image"), "jsonl"),
    "labelbox": Form(labelbox, ("text", "image"), "ndjson"),
    "fiftyone": Form(fiftyone, ("image",), around=('{"samples": [\n', "\n]}\n")),
}
