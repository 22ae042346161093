"""What every reader makes of an upload: rows in batches, that can be read more than once."""

from collections.abc import Callable, Iterator
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
    """Some rows in order. Columns bear the client's names and may have any Arrow type, also another in each batch."""

    rows: pa.RecordBatch
    index: npt.NDArray[np.int64]
    where: Callable[[int], str]  # position in this batch -> "line 17", "cat/003.jpg"
    skipped: tuple[SkippedRow, ...] = ()  # rows that could not even be read, met since the batch before


@dataclass(frozen=True)
class DeclaredContents:
    """What a format says of itself, so that nothing is left to be found out. `vectors`: width of each input column.

    Labels are names of `classes`, whose order has a meaning; the columns are `label`, `id` and `split`, then the inputs,
    which are left out with media False.
    """

    modality: Modality
    classes: tuple[str, ...]
    vectors: dict[str, int]
    recording: Recording | None = None

    def column(self, name: str) -> str:
        """What an input is called in the canonical file."""
        return name if self.modality != "embedding" else self.modality


@dataclass(frozen=True)
class RowSource:
    """A readable upload. `batches(media)` starts anew at each call; with media False the image column is left out."""

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
    warnings: tuple[ClientWarning, ...] = ()
    stated: DeclaredContents | None = None


@dataclass(frozen=True)
class Upload:
    """A file on disk, what the client says of it, and a scratch folder that vanishes afterwards."""

    path: Path
    name: str
    spec: DatasetSpec
    limits: Limits
    scratch: Path


def batch_rows(columns: int) -> int:
    """How many rows of so many columns make a batch of bounded memory."""
    return max(16, min(BATCH_ROWS, BATCH_CELLS // max(columns, 1)))
