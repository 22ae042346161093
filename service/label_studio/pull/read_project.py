"""Reads the tasks of a project page by page into a file, and that file into a dataset."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.domain.connection import PullSource
from service.domain.dataset import AnnotationPolicy, ClientWarning, DatasetInfo, DatasetSpec, SkippedRow
from service.domain.errors import Invalid, Upstream, invalid
from service.ingest.confined import Reading
from service.ingest.limits import Limits
from service.label_studio.client import LabelStudio
from service.label_studio.projects import read_control
from service.label_studio.pull.task_file import ID_COLUMN, LABEL_COLUMN, TEXT_COLUMN, TaskFile
from service.platforms.annotations import Annotation
from service.platforms.label_studio import Control, SkippedTask, TaskSample, read_annotations, task_samples
from service.services import Services
from service.store.seal import sealed_write

_DOWNLOADS = 4  # images downloaded at the same time
_IN_MEMORY = 16  # images held in memory
_NAMES = 5  # samples that a warning names


def read_project(
    services: Services,
    client: LabelStudio,
    source: PullSource,
    placeholder: DatasetInfo,
    on_progress: Callable[[str, float], None],
    origin: Path | None = None,
) -> DatasetInfo:
    """Read all tasks into the files of the dataset `placeholder`; returns the complete dataset, which is not saved yet.

    `on_progress` gets a text and the share that is done, between 0 and 1; it may raise. The state of all annotations is
    written to `origin`, for reconciling. Raises Upstream, and the errors of ingest.
    """
    blobs, settings = services.blobs, services.settings
    project = client.project(source.project)
    control = read_control(str(project.get("label_config") or ""), source.from_name)
    if control.modality != placeholder.modality:
        raise invalid(["project"], f"its input became {control.modality} meanwhile; ask for its tasks again")
    path = blobs.uploads / f"{placeholder.id}.part"
    file = TaskFile(path, control, settings.max_upload_bytes)
    try:
        with file, _json_lines(origin) as write_origin:
            total, before = int(project.get("task_number") or 0), 0
            for page in client.tasks(source.project):
                write_origin(_baseline(task, control) for task in page)
                total = max(total, before + len(page))
                for done in _add_page(client, page, control, source.annotation_policy, file):
                    on_progress(f"pulling tasks {before + done}/{total}", (before + done) / total)
                before += len(page)
        return _ingested(services, path, file, source, placeholder, control, client.url)
    finally:
        file.remove()


@contextmanager
def _json_lines(path: Path | None) -> Iterator[Callable[[Iterable[dict[str, Any]]], None]]:
    """Function that writes JSON Lines into a file; without a file it does nothing."""
    if path is None:
        yield lambda _values: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with sealed_write(path) as part, part.open("w") as file:
        yield lambda values: file.writelines(json.dumps(value) + "\n" for value in values)


def _baseline(task: dict[str, Any], control: Control) -> dict[str, Any]:
    """Id, time of the last update and class of all annotations of a task now."""
    read = read_annotations(task, control)
    found = [
        [int(raw["id"]), str(raw.get("updated_at") or ""), one.label if isinstance(one, Annotation) else None]
        for raw, one in zip(task.get("annotations") or (), read, strict=True)
    ]
    return {"task": int(task["id"]), "annotations": found}


def _add_page(
    client: LabelStudio, page: Sequence[dict[str, Any]], control: Control, policy: AnnotationPolicy, file: TaskFile
) -> Iterator[int]:
    """Add the samples of a page; yields the number of its tasks that are done, several times and at the end."""
    found = [(done, sample) for done, task in enumerate(page) for sample in task_samples(task, control, policy)]
    if control.modality != "image":
        for _, sample in found:
            file.add(sample)
        yield len(page)
        return

    def download(sample: TaskSample | SkippedTask) -> tuple[TaskSample | SkippedTask, bytes]:
        if isinstance(sample, SkippedTask):
            return sample, b""
        try:
            return sample, client.download(str(sample.value), sample.task)
        except (Upstream, Invalid) as error:
            return SkippedTask(sample.task, f"its image could not be read: {error.detail}"), b""

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for start in range(0, len(found), _IN_MEMORY):
            yield found[start][0]
            for sample, content in pool.map(download, (one for _, one in found[start : start + _IN_MEMORY])):
                file.add(sample, content)
    yield len(page)


def _ingested(
    services: Services,
    path: Path,
    file: TaskFile,
    source: PullSource,
    placeholder: DatasetInfo,
    control: Control,
    url: str,
) -> DatasetInfo:
    blobs, settings = services.blobs, services.settings
    if not file.names:
        why = f"; the first of them, {file.skipped[0].where}: {file.skipped[0].reason}" if file.skipped else ""
        msg = f"no task of project {source.project} can be used{why}"
        raise invalid(["project"], msg)
    features = {"tabular": list(file.keys), "text": [TEXT_COLUMN]}.get(placeholder.modality)
    spec = DatasetSpec(modality=placeholder.modality, label=LABEL_COLUMN, id=ID_COLUMN, features=features)
    limits = Limits(max_expanded_bytes=settings.max_expanded_bytes)
    filename = "tasks.zip" if placeholder.modality == "image" else "tasks.jsonl"
    data, skipped_rows = blobs.canonical(placeholder.id), blobs.skipped(placeholder.id)
    found = services.ingests.ingest(Reading(path, filename, spec, data, skipped_rows, limits), lambda: None)
    if file.votes.exists():
        shutil.move(file.votes, blobs.votes(placeholder.id))
    skipped = _skipped(blobs.skipped(placeholder.id), file)
    parts = [
        url,
        source.project,
        control.from_name,
        source.annotation_policy,
        placeholder.name,
        file.digest.hexdigest(),
    ]
    values = {name: getattr(found, name) for name in found.__dataclass_fields__}
    inferred = found.inferred.model_copy(
        update={
            "format": f"label studio, project {source.project}, {control.from_name}",
            "label": control.from_name,
            "id": "task",
        }
    )
    return placeholder.model_copy(
        update={
            **values,
            "inferred": inferred,
            "skipped_rows": skipped,
            "warnings": [*found.warnings, *_warnings(file, skipped, found.skipped_rows)],
            "digest": f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}",
        }
    )


def _skipped(path: Path, file: TaskFile) -> int:
    """Add the skipped tasks to the file of skipped rows, whose rows are then named by task; returns their number."""
    lines = path.read_text().split("\n") if path.exists() else []
    rows = [SkippedRow.model_validate_json(line) for line in lines if line]
    named = [row.model_copy(update={"where": f"task {file.names[row.index].partition(':')[0]}"}) for row in rows]
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in (*file.skipped, *named)))
    return len(file.skipped) + len(named)


def _warnings(file: TaskFile, skipped: int, warned: int) -> list[ClientWarning]:
    found = []
    if file.disagreeing:
        names = ", ".join(file.disagreeing[:_NAMES])
        detail = f"annotators of {len(file.disagreeing):,} tasks say different classes: {names}"
        found.append(ClientWarning(code="disagreeing_annotators", detail=detail))
    if skipped and not warned:
        found.append(ClientWarning(code="skipped_rows", detail=f"{skipped:,} tasks were skipped, each with its reason"))
    return found
