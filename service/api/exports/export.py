"""What a writer is given, and what it is."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.platforms.exports import ExportContext

# Rows of the ranking in its order, some at a time: those of the store with `rank`, from 1, and `score`. For a table each
# also has `path`, `decision`, `decided_label`, `reviewer` and `reviewed_at`, which are None where there is none.
Chunks = Iterable[list[dict[str, Any]]]


@dataclass(frozen=True)
class Export:
    """A ranking to be written: with `raw` texts of CSV stay as they are; the columns of a table in order, names in the tool, and the samples' canonical file."""

    columns: tuple[str, ...]
    context: ExportContext
    data: Path
    raw: bool = False


# Gives the file in pieces; memory does not grow with the ranking.
Writer = Callable[[Chunks, Export], Iterator[bytes]]
