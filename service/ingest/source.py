"""Readable uploads: rows in batches that can be read more than once, whatever the file format."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import ClientWarning, DatasetSpec, Modality, Recording, SkippedRow
from service.ingest.limits import Limits

BATCH_ROWS = 4_096
BATCH_BYTES = 8 * 2**20
BATCH_CELLS = 500_000


@dataclass(frozen=True)
class Batch:
    """Some rows in order. Columns have the client's names and any Arrow type, which may differ from batch to batch.

    `index` are positions in the upload, `where(position in this batch)` is the place of a row, such as "line 17" or
    "cat/003.jpg". `skipped` are rows before or among these that could not be read. `votes` are those of both, of
    service.ingest.votes.SCHEMA, where the format itself says who gave which label.
    """

    rows: pa.RecordBatch
    index: npt.NDArray[np.int64]
    where: Callable[[int], str]  # position in this batch -> "line 17", "cat/003.jpg"
    skipped: tuple[SkippedRow, ...] = ()  # rows that could not even be read, met since the batch before
    votes: pa.Table | None = None


@dataclass(frozen=True)
class DeclaredContents:
    """Roles of all columns, declared by the format itself. `vectors` has the width of each input column.

    The columns are `label`, `id` and `split`, then the inputs, which are left out with media False. Labels are names of
    `classes`, whose order is that of the columns of logits or probabilities.
    """

    modality: Modality
    classes: tuple[str, ...]
    vectors: dict[str, int]
    recording: Recording | None = None

    def column(self, name: str) -> str:
        """Name of an input in the canonical file."""
        return name if self.modality != "embedding" else self.modality


@dataclass(frozen=True)
class RowSource:
    """A readable upload.

    `batches(media)` starts from the beginning at each call; with media False the image column is left out. `label`, `id`,
    `split`, `image` and `path` are columns whose role the format itself names. `numbers` has the columns whose texts nobody wants
    to see: a batch may give one as float64, with null for blanks, where all its values are numbers, plainly written. Who reads may
    change it at any time. It is None where the format is not read as texts.
    """

    format: str
    batches: Callable[[bool], Iterator[Batch]]
    columns: tuple[str, ...] | None = None  # None: known only after reading (JSON lines)
    label: str | None = None  # what the format itself says
    id: str | None = None
    split: str | None = None
    image: str | None = None
    path: str | None = None  # the column that names the image files
    modality: Modality | None = None
    ids_hold: bool = False  # ids are another program's: one that occurs twice is an error
    null_words: bool = False  # values are texts, of which NA, null and the like may stand for a missing value
    delimiter: str = ""  # between the values of a text table; it tells how its numbers are written
    warnings: tuple[ClientWarning, ...] = ()
    counted: Callable[[], tuple[ClientWarning, ...]] = tuple  # warnings that are known once all batches were read
    stated: DeclaredContents | None = None
    numbers: set[str] | None = None


@dataclass(frozen=True)
class Upload:
    """A file on disk, the client's name and spec for it, and a scratch folder that is deleted afterwards.

    `is_inner` tells that it was in an archive: archives in it are not opened, since one may hold itself.
    """

    path: Path
    name: str
    spec: DatasetSpec
    limits: Limits
    scratch: Path
    is_inner: bool = False


def batch_rows(columns: int) -> int:
    """Number of rows of a batch with so many columns, so that its memory is bounded."""
    return max(16, min(BATCH_ROWS, BATCH_CELLS // max(columns, 1)))


def free_name(name: str, taken: Collection[str]) -> str:
    """The name of a column of our own, with underscores behind it where the client has columns of that name."""
    while name in taken:
        name += "_"
    return name
