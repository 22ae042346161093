"""The file that the tasks of a project are written to before ingest reads it."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from service.domain.dataset import SkippedRow
from service.domain.errors import TooLarge, Upstream
from service.ingest.source import BATCH_ROWS
from service.ingest.votes import VoteFile, table_of
from service.platforms.annotations import Vote
from service.platforms.label_studio import Control, SkippedTask, TaskSample

_MAX_FAILURES = 25  # images that could not be read, with none that could
# Names that columns of a table in a task hardly have.
ID_COLUMN, LABEL_COLUMN, TEXT_COLUMN = "label studio: task", "label studio: class", "text"


class TaskFile:
    """The file of a project's tasks, in a form that ingest reads, and what is known of them.

    Texts and tables are JSON Lines, images a ZIP with a `metadata.jsonl`. `votes` is the file of who said what, where annotators
    are known. Used in a `with` block; raises TooLarge above `limit` bytes.
    """

    def __init__(self, path: Path, control: Control, limit: int) -> None:
        self._path, self._control, self._limit = path, control, limit
        self._images = control.modality == "image"
        self._lines_path = path.with_suffix(".lines")
        self._size, self._failures = 0, 0
        self.digest = hashlib.sha256()
        self.skipped: list[SkippedRow] = []
        self.names: list[str] = []
        self.disagreeing: list[str] = []
        self.keys: dict[str, None] = {}
        self.votes = path.with_suffix(".votes")
        self._held: list[tuple[int, str, str]] = []

    def __enter__(self) -> Self:
        self._lines = self._lines_path.open("w", encoding="utf-8")
        self._archive = zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) if self._images else None
        self._who = VoteFile(self.votes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._who.add(table_of(self._held))
        self._who.close()
        if self._archive is not None:
            with self._archive:
                if kind is None:
                    self._archive.write(self._lines_path, "metadata.jsonl")
        elif kind is None:
            self._lines_path.replace(self._path)

    def add(self, sample: TaskSample | SkippedTask, content: bytes = b"") -> None:
        """Write a sample, or record why a task gives none. Raises TooLarge, and Upstream when all images fail."""
        row = None if isinstance(sample, SkippedTask) else self._row(sample)
        self._vote(sample.votes, len(self.names) if row is not None else -1 - len(self.skipped))
        if isinstance(sample, SkippedTask) or row is None:
            reason = sample.reason if isinstance(sample, SkippedTask) else "its table is not an object of named values"
            index = len(self.names) + len(self.skipped)
            self.skipped.append(SkippedRow(index=index, where=f"task {sample.task}", reason=reason))
            self._failures += self._images and "could not be read" in reason
            if self._failures >= _MAX_FAILURES and not self.names:
                raise Upstream(f"none of the first {self._failures} images could be read; the last: {reason}")
            return
        if self._archive is not None:
            row["file_name"] = f"{len(self.names):09d}.png"  # ingest finds the real format from the bytes
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

    def _vote(self, votes: Sequence[Vote], index: int) -> None:
        self._held += [(index, one.annotator, one.label) for one in votes]
        self.digest.update(repr([(one.annotator, one.label) for one in votes]).encode() if votes else b"")
        if len(self._held) >= BATCH_ROWS:
            self._who.add(table_of(self._held))
            self._held = []

    def _row(self, sample: TaskSample) -> dict[str, Any] | None:
        known = {ID_COLUMN: sample.name, LABEL_COLUMN: sample.label}
        if self._control.modality == "tabular":
            if not isinstance(sample.value, dict):
                return None
            values = {str(name): value for name, value in sample.value.items()}
            self.keys |= dict.fromkeys(values)
            return {**values, **known}
        return known if self._images else {**known, TEXT_COLUMN: str(sample.value)}

    def remove(self) -> None:
        """Delete the files."""
        for path in (self._path, self._lines_path, self.votes):
            path.unlink(missing_ok=True)
