"""The tasks of a project, read page by page into a file that any reader of uploads takes, and that into a dataset."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.domain.connection import PullSource
from service.domain.dataset import AnnotationPolicy, ClientWarning, DatasetInfo, DatasetSpec, SkippedRow
from service.domain.errors import Invalid, TooLarge, Upstream, invalid
from service.ingest.ingest import ingest
from service.ingest.limits import Limits
from service.label_studio.client import LabelStudio
from service.label_studio.projects import control_of
from service.platforms.annotations import Annotation
from service.platforms.label_studio import Control, SkippedTask, TaskSample, read_annotations, task_samples
from service.services import Services

_AT_ONCE = 4  # images that are fetched beside each other
_IN_MEMORY = 16  # images held at a time
_HOPELESS = 25  # images in a row that cannot be had
_NAMES = 5  # given in a warning


def gather(
    services: Services,
    client: LabelStudio,
    source: PullSource,
    known: DatasetInfo,
    tell: Callable[[str, float], None],
    origin: Path | None = None,
) -> DatasetInfo:
    """Read every task into the files of the dataset `known`; returns what is known of it now.

    `tell` gets a text and the share that is done, and may raise. Every annotation is noted in `origin`, to be compared
    with later. Raises Upstream, and what ingest raises.
    """
    blobs, settings = services.blobs, services.settings
    project = client.project(source.project)
    control = control_of(str(project.get("label_config") or ""), source.from_name)
    if control.modality != known.modality:
        raise invalid(["project"], f"its input became {control.modality} meanwhile; ask for its tasks again")
    path = blobs.uploads / f"{known.id}.part"
    try:
        with _Writer(path, control, settings.max_upload_bytes) as writer, _noted(origin) as note:
            total, seen = int(project.get("task_number") or 0), 0
            for page in client.tasks(source.project):
                note(_baseline(task, control) for task in page)
                whole = max(total, seen + len(page))
                for done in _take(client, page, control, source.annotation_policy, writer):
                    tell(f"pulling tasks {seen + done}/{whole}", (seen + done) / whole)
                seen += len(page)
        return _made(services, path, writer, source, known, control, client.url)
    finally:
        for left in (path, _lines_of(path)):
            left.unlink(missing_ok=True)


@contextmanager
def _noted(path: Path | None) -> Iterator[Callable[[Iterable[dict[str, Any]]], None]]:
    """What writes JSON lines, or does nothing where they are not wanted."""
    if path is None:
        yield lambda _values: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        yield lambda values: file.writelines(json.dumps(value) + "\n" for value in values)


def _baseline(task: dict[str, Any], control: Control) -> dict[str, Any]:
    """What holds of a task now: every annotation's number, time and class, which later ones are compared with."""
    said = read_annotations(task, control)
    found = [
        [int(each["id"]), str(each.get("updated_at") or ""), label.label if isinstance(label, Annotation) else None]
        for each, label in zip(task.get("annotations") or (), said, strict=True)
    ]
    return {"task": int(task["id"]), "annotations": found}


def _take(
    client: LabelStudio, page: Sequence[dict[str, Any]], control: Control, policy: AnnotationPolicy, writer: "_Writer"
) -> Iterator[int]:
    """Write the samples of a page; gives, now and then and at the end, how many of its tasks are done."""
    found = [(done, sample) for done, task in enumerate(page) for sample in task_samples(task, control, policy)]
    if control.modality != "image":
        for _, sample in found:
            writer.add(sample)
        yield len(page)
        return

    def fetch(sample: TaskSample | SkippedTask) -> tuple[TaskSample | SkippedTask, bytes]:
        if isinstance(sample, SkippedTask):
            return sample, b""
        try:
            return sample, client.file(str(sample.value), sample.task)
        except (Upstream, Invalid) as error:
            return SkippedTask(sample.task, f"its image could not be read: {error.detail}"), b""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(found), _IN_MEMORY):
            yield found[start][0]
            for sample, content in pool.map(fetch, (one for _, one in found[start : start + _IN_MEMORY])):
                writer.add(sample, content)
    yield len(page)


def _lines_of(path: Path) -> Path:
    return path.with_suffix(".lines")


class _Writer:
    """Text and tables as JSON lines, images as a ZIP with their `metadata.jsonl`; takes the digest on the way."""

    def __init__(self, path: Path, control: Control, limit: int) -> None:
        self._path, self._control, self._limit = path, control, limit
        self._images = control.modality == "image"
        self._lines_path = _lines_of(path)
        self._size, self._lost = 0, 0
        self.digest = hashlib.sha256()
        self.left: list[SkippedRow] = []
        self.names: list[str] = []
        self.disagreeing: list[str] = []
        self.keys: dict[str, None] = {}

    def __enter__(self) -> Self:
        self._lines = self._lines_path.open("w", encoding="utf-8")
        self._archive = zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) if self._images else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        if self._archive is not None:
            with self._archive:
                if kind is None:
                    self._archive.write(self._lines_path, "metadata.jsonl")
        elif kind is None:
            self._lines_path.replace(self._path)

    def add(self, sample: TaskSample | SkippedTask, content: bytes = b"") -> None:
        """Write a sample, or note why a task is none. Raises TooLarge, and Upstream where no image can be had."""
        row = None if isinstance(sample, SkippedTask) else self._row(sample)
        if isinstance(sample, SkippedTask) or row is None:
            reason = sample.reason if isinstance(sample, SkippedTask) else "its table is not an object of named values"
            index = len(self.names) + len(self.left)
            self.left.append(SkippedRow(index=index, where=f"task {sample.task}", reason=reason))
            self._lost += self._images and "could not be read" in reason
            if self._lost >= _HOPELESS and not self.names:
                raise Upstream(f"none of the first {self._lost} images could be had; the last: {reason}")
            return
        if self._archive is not None:
            row["file_name"] = f"{len(self.names):09d}.png"  # what it really is, its bytes say
            self._archive.writestr(str(row["file_name"]), content)
            self.digest.update(hashlib.sha256(content).digest())
        line = json.dumps(row, ensure_ascii=False).encode(errors="replace").decode() + "\n"
        self._size += len(line) + len(content)
        if self._size > self._limit:
            raise TooLarge(f"the tasks are more than {self._limit:,} bytes, the limit of this installation")
        self.digest.update(line.encode())
        self._lines.write(line)
        self.names.append(sample.name)
        if sample.disagrees:
            self.disagreeing.append(sample.name)

    def _row(self, sample: TaskSample) -> dict[str, Any] | None:
        known = {_ID: sample.name, _LABEL: sample.label}
        if self._control.modality == "tabular":
            if not isinstance(sample.value, dict):
                return None
            values = {str(name): value for name, value in sample.value.items()}
            self.keys |= dict.fromkeys(values)
            return {**values, **known}
        return known if self._images else {**known, _TEXT: str(sample.value)}


# Beside a Table's own columns, which are hardly called so.
_ID, _LABEL, _TEXT = "label studio: task", "label studio: class", "text"


def _made(
    services: Services,
    path: Path,
    writer: _Writer,
    source: PullSource,
    known: DatasetInfo,
    control: Control,
    url: str,
) -> DatasetInfo:
    blobs, settings = services.blobs, services.settings
    if not writer.names:
        why = f"; the first of them, {writer.left[0].where}: {writer.left[0].reason}" if writer.left else ""
        msg = f"no task of project {source.project} can be used{why}"
        raise invalid(["project"], msg)
    features = {"tabular": list(writer.keys), "text": [_TEXT]}.get(known.modality)
    spec = DatasetSpec(modality=known.modality, label=_LABEL, id=_ID, features=features)
    limits = Limits(max_expanded_bytes=settings.max_expanded_bytes)
    filename = "tasks.zip" if known.modality == "image" else "tasks.jsonl"
    found = ingest(path, filename, spec, blobs.canonical(known.id), blobs.skipped(known.id), limits)
    skipped = _skipped(blobs.skipped(known.id), writer)
    parts = [url, source.project, control.from_name, source.annotation_policy, known.name, writer.digest.hexdigest()]
    values = {name: getattr(found, name) for name in found.__dataclass_fields__}
    inferred = found.inferred.model_copy(
        update={
            "format": f"label studio, project {source.project}, {control.from_name}",
            "label": control.from_name,
            "id": "task",
        }
    )
    return known.model_copy(
        update={
            **values,
            "inferred": inferred,
            "skipped_rows": skipped,
            "warnings": [*found.warnings, *_doubts(writer, skipped, found.skipped_rows)],
            "digest": f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}",
        }
    )


def _skipped(path: Path, writer: _Writer) -> int:
    """Write the tasks that were left beside the rows that could not be used, by the tasks' own numbers."""
    lines = path.read_text().split("\n") if path.exists() else []
    rows = [SkippedRow.model_validate_json(line) for line in lines if line]
    named = [row.model_copy(update={"where": f"task {writer.names[row.index].partition(':')[0]}"}) for row in rows]
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in (*writer.left, *named)))
    return len(writer.left) + len(named)


def _doubts(writer: _Writer, skipped: int, told: int) -> list[ClientWarning]:
    found = []
    if writer.disagreeing:
        names = ", ".join(writer.disagreeing[:_NAMES])
        detail = f"annotators of {len(writer.disagreeing):,} tasks say different classes: {names}"
        found.append(ClientWarning(code="disagreeing_annotators", detail=detail))
    if skipped and not told:
        found.append(ClientWarning(code="skipped_rows", detail=f"{skipped:,} tasks were skipped, each with its reason"))
    return found
