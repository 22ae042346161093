"""Text as fastText takes it: a sample a line, its class a word that begins with `__label__`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from service.domain.dataset import SkippedRow
from service.domain.errors import TooLarge
from service.ingest.encoding import BAD_BYTES, bad_byte, encoding_of, sample_text
from service.ingest.faults import listed
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, RowSource, Upload

PREFIX = "__label__"
_LABEL = re.compile(rf"(?<!\S){PREFIX}(\S+)")
_BEGINS = re.compile(rf"{PREFIX}[^\s,;|]+(?:[ \t]|$)")  # with a delimiter behind it, it is a value of a table
_SAMPLE_LINES = 50
_NEARLY_ALL = 0.9
_LONGEST_LINE = 16 * 2**20


@dataclass(frozen=True)
class LabelledLine:
    """A line as it stands, its number from 1, and its position among those that are not blank."""

    text: str
    number: int
    index: int

    @cached_property
    def classes(self) -> list[str]:
        """The classes that it names, each once."""
        return list(dict.fromkeys(_LABEL.findall(self.text)))

    @property
    def sample(self) -> str:
        """The text without its labels."""
        return " ".join(_LABEL.sub("", self.text).split())

    @cached_property
    def fault(self) -> str:
        """Why it is no sample; empty for one."""
        if bad := BAD_BYTES.search(self.text):
            return bad_byte(bad[0])
        found = self.classes
        if not found:
            return f"no word begins with {PREFIX}"
        return f"it has several labels, {listed(found)}; one class a line is expected" if len(found) > 1 else ""

    def relabelled(self, name: str) -> str:
        """The line with another class in the place of its own."""
        return _LABEL.sub(lambda _found: f"{PREFIX}{name}", self.text)


def looks_like_fasttext(head: bytes) -> bool:
    """Whether nine in ten of the first lines begin with a label."""
    lines = [line for line in (sample_text(head) or "").splitlines() if line.strip()][:_SAMPLE_LINES]
    beginning = sum(_BEGINS.match(line.lstrip()) is not None for line in lines)
    return len(lines) > 1 and beginning >= _NEARLY_ALL * len(lines)


def open_fasttext(upload: Upload) -> RowSource:
    """Read the columns `label` and `text`. Lines of several labels are skipped. Raises `TooLarge` for a line of more than 16 MiB, `Malformed`."""
    encoding = encoding_of(upload.path)
    return RowSource(
        format=f"fasttext, encoding {encoding}",
        batches=lambda _media: _batches(upload.path, encoding),
        columns=("label", "text"),
        label="label",
    )


def labelled_lines(path: Path, encoding: str) -> Iterator[LabelledLine | str]:
    """Each line with its position; a blank one as it stands."""
    index = 0
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), start=1):
            if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                raise TooLarge(f"line {number} is longer than {_LONGEST_LINE // 2**20} MiB")
            if line.strip():
                yield LabelledLine(line, number, index)
                index += 1
            else:
                yield line


def _batches(path: Path, encoding: str) -> Iterator[Batch]:
    lines = (line for line in labelled_lines(path, encoding) if isinstance(line, LabelledLine))
    while some := list(_of_size(lines)):
        yield _batch(
            [line for line in some if not line.fault],
            [
                SkippedRow(index=line.index, where=f"line {line.number}", reason=line.fault)
                for line in some
                if line.fault
            ],
        )


def _batch(good: list[LabelledLine], skipped: list[SkippedRow]) -> Batch:
    columns = ([line.classes[0] for line in good], [line.sample for line in good])
    return Batch(
        rows=pa.RecordBatch.from_arrays([pa.array(values, pa.string()) for values in columns], names=["label", "text"]),
        index=np.array([line.index for line in good], np.int64),
        where=lambda position: f"line {good[position].number}",
        skipped=tuple(skipped),
    )


def _of_size(lines: Iterator[LabelledLine]) -> Iterator[LabelledLine]:
    """The next lines, until there is enough for a batch."""
    size = 0
    for line in islice(lines, BATCH_ROWS):
        yield line
        size += len(line.text)
        if size > BATCH_BYTES:
            return
