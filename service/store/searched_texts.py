"""Search in the texts of a dataset: in their first 200 characters, which is what a preview shows."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow.compute as pc
import structlog

from service.domain.errors import Damaged
from service.store import substrings
from service.store.seal import open_parquet, seal_folder, unfinished

log = structlog.get_logger()

SEARCHED = 200  # characters
_NAME = "texts"


def with_text(folder: Path, data: Path, part: str) -> npt.NDArray[Any]:
    """Which rows of the canonical file `data` have `part` in their text, whatever the case: bool.

    The beginnings of the texts are written into `folder` by the first search, or by `prepare`.
    """
    prepare(folder, data)
    try:
        return substrings.containing(folder, _NAME, part)
    except Damaged as error:
        log.warning("search files made again", error=error.detail)
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, data)
        return substrings.containing(folder, _NAME, part)


def prepare(folder: Path, data: Path) -> None:
    """Write the beginnings of the texts, unless they are there."""
    if folder.exists():
        return
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    with unfinished(part):
        substrings.save(part, _NAME, _beginnings(data))
        seal_folder(part)
    try:
        part.rename(folder)
    except OSError:  # another thread or process was quicker
        shutil.rmtree(part, ignore_errors=True)


def _beginnings(data: Path) -> Iterator[list[str]]:
    with open_parquet(data) as file:
        for group in range(file.metadata.num_row_groups):
            texts = file.read_row_group(group, columns=["text"]).column("text")
            yield pc.utf8_slice_codeunits(texts, 0, SEARCHED).to_pylist()
