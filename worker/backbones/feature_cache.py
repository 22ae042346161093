"""Cache of the outputs of frozen networks, in memory-mapped files: memory does not grow with the dataset."""

import io
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from jaxtyping import Int
from torch import Tensor

from service.domain.errors import Damaged, TooLarge
from service.store.seal import check_folder, open_array, open_checked, seal_folder
from usual_suspects.files import reserve
from worker.data.encoding import Inputs

log = structlog.get_logger()

_PART = ".part"
_PIECE = 2**22  # bytes that are checked at once
_ABANDONED = 7 * 86_400  # seconds, after which an unfinished entry is removed


@dataclass(frozen=True)
class FeatureCache:
    """A folder of sealed entries with one file per array. Beyond `limit` bytes the least recently used entries are removed.

    `_read` has the files whose arrays were given, and are read from the disk as long as somebody computes with them.
    """

    folder: Path
    limit: int
    _read: list[io.BufferedReader] = field(default_factory=list, compare=False)

    def find(self, key: str) -> Inputs | None:
        """The memory-mapped arrays of an entry; writing to them changes no file.

        None where there is no entry, or a damaged one, which is removed.
        """
        entry = self.folder / key
        try:
            os.utime(entry)
            return self._given(entry)
        except FileNotFoundError:
            return None  # never stored, or just removed by another worker
        except Damaged as error:
            log.warning("features removed, they are computed again", error=error.detail)
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def store(self, key: str, rows: int, found: Iterator[tuple[Int[Tensor, " p"], Inputs]]) -> Inputs:
        """Write an entry of `rows` rows, batch by batch, and return it as `find` does. Raises TooLarge beyond `limit`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        part = self.folder / f"{key}.{uuid.uuid4().hex[:8]}{_PART}"
        part.mkdir()
        try:
            self._write(part, rows, found)
            seal_folder(part)
            try:
                part.rename(self.folder / key)
            except OSError:
                # Another worker has stored the same entry first.
                if not (self.folder / key).is_dir():
                    raise
            return self._given(self.folder / key)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def check_again(self) -> None:
        """Check every file whose arrays were given, also one that was removed since. Raises Damaged."""
        for file in self._read:
            file.seek(0)
            while file.read(_PIECE):
                pass

    def _given(self, entry: Path) -> Inputs:
        found = _mapped(entry)
        self._read.extend(open_checked(path) for path in sorted(entry.glob("*.npy")))
        return found

    def _write(self, part: Path, rows: int, found: Iterator[tuple[Int[Tensor, " p"], Inputs]]) -> None:
        arrays: list[np.memmap[Any, Any]] = []
        for places, tensors in found:
            if not arrays:
                self._make_room(sum(rows * one[0].numel() * one.element_size() for one in tensors))
                arrays = [
                    np.lib.format.open_memmap(part / f"{number}.npy", "w+", one.numpy().dtype, (rows, *one.shape[1:]))
                    for number, one in enumerate(tensors)
                ]
                for number in range(len(arrays)):
                    path = part / f"{number}.npy"
                    reserve(path, path.stat().st_size)
            for array, one in zip(arrays, tensors, strict=True):
                array[places.numpy()] = one.numpy()
        for array in arrays:
            array.flush()

    def _make_room(self, wanted: int) -> None:
        if wanted > self.limit:
            raise TooLarge(
                f"the outputs of the frozen part take {wanted / 2**30:.1f} GiB, and SUSPECTS_MAX_FEATURES_BYTES allows "
                f"{self.limit / 2**30:.1f}: train fewer blocks, or lower the image_size or length"
            )
        entries = sorted(_state(self.folder), key=lambda entry: entry[1])
        kept = sum(size for _, _, size in entries)
        for path, _, size in entries:
            if kept + wanted <= self.limit:
                return
            # Workers that read it can go on: files stay until they are closed.
            shutil.rmtree(path, ignore_errors=True)
            log.info("features removed", path=str(path), bytes=size)
            kept -= size

    def _sweep(self) -> None:
        for path in self.folder.glob(f"*{_PART}"):
            try:
                abandoned = time.time() - path.stat().st_mtime > _ABANDONED
            except FileNotFoundError:
                continue
            if abandoned:
                shutil.rmtree(path, ignore_errors=True)


def _state(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Complete entries, when they were last used, and their bytes."""
    for entry in folder.iterdir():
        try:
            if not entry.name.endswith(_PART):
                yield entry, entry.stat().st_mtime, sum(file.stat().st_size for file in entry.glob("*.npy"))
        except FileNotFoundError:
            continue


def _mapped(entry: Path) -> Inputs:
    files = sorted(entry.glob("*.npy"))
    if not files:
        raise FileNotFoundError(entry)
    check_folder(entry)
    return tuple(torch.from_numpy(open_array(file, writable=True)) for file in files)


def select_rows(whole: Inputs, rows: Int[Tensor, " k"], scratch: Path) -> Inputs:
    """Some rows of mapped arrays: the arrays themselves where all rows are asked for, else copies, in files above 1 GiB."""
    if len(rows) == len(whole[0]):
        return whole
    return tuple(_copied(one, rows, scratch / f"{uuid.uuid4().hex}.rows") for one in whole)


_IN_MEMORY = 2**30  # bytes
_TOGETHER = 1_024


def _copied(whole: Tensor, rows: Int[Tensor, " k"], path: Path) -> Tensor:
    shape = (len(rows), *whole.shape[1:])
    size = len(rows) * whole[0].numel()
    if size * whole.element_size() <= _IN_MEMORY:
        return whole[rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    reserve(path, size * whole.element_size())
    copy = torch.from_file(str(path), shared=True, size=size, dtype=whole.dtype).reshape(shape)
    for places in torch.split(torch.arange(len(rows)), _TOGETHER):
        copy[places] = whole[rows[places]]
    return copy
