"""The folders in which ranks write their arrays, side by side, and the columns of all ranks that become one file."""

import dataclasses
import re
import secrets
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usual_suspects.recorder.array_files import ArrayFile, JoinedArray
from usual_suspects.recorder.ranks import Ranks

_SEEN_WITHIN_S = 10.0  # by which file systems of networks show what another host has written
_MARK = "written-by"


def make_folder(path: Path, ranks: Ranks, *, keep: bool) -> Path:
    """Make a folder for the arrays of this rank, beside those of the others; empty, unless what is there is kept. Raises RuntimeError unless rank 0 sees all."""
    own = folder_of(path, ranks.rank)
    root = own.parent
    if ranks.rank == 0 and not keep:
        shutil.rmtree(root, ignore_errors=True)
    ranks.gather(None, "emptying the folder of the arrays")
    if not keep:
        shutil.rmtree(own, ignore_errors=True)
    mark, host = secrets.token_hex(8), socket.gethostname()

    def write() -> tuple[str, str]:
        own.mkdir(parents=True, exist_ok=keep)
        (own / _MARK).write_text(mark)
        return mark, host

    marks = ranks.each("making the folder of the arrays", write)
    ranks.together("looking for the folders of all ranks", lambda: None if ranks.rank else _check_seen(root, marks))
    return own


def joined_columns(
    root: Path, shards: Sequence[Mapping[str, ArrayFile]], kept: Mapping[str, Sequence[npt.NDArray[np.bool_] | None]]
) -> dict[str, JoinedArray]:
    """The columns of all ranks in the order of rank 0; `kept` says for each prefix which samples of each rank count.

    Raises OSError for an array that cannot be seen from here, which names rank and file.
    """
    joined: dict[str, JoinedArray] = {}
    for name in shards[0]:
        held = [(rank, shard[name]) for rank, shard in enumerate(shards) if name in shard]
        masks = kept["reference_" if name.startswith("reference_") else ""]
        files = [_found(root, rank, file) if len(shards) > 1 else file for rank, file in held]
        joined[name] = JoinedArray(tuple(files), tuple(masks[rank] for rank, _ in held))
    return joined


def folder_of(path: Path, rank: int) -> Path:
    """The folder for the arrays of a rank while the file at `path` is recorded."""
    return _of_rank(path.with_name(path.name + ".arrays"), rank)


def is_foreign(path: Path) -> bool:
    """Whether something else is where the folders of the ranks would be."""
    root = folder_of(path, 0).parent
    if not root.is_dir():
        return root.exists()
    return any(re.fullmatch(r"rank-\d+", one.name) is None for one in root.iterdir())


def _of_rank(root: Path, rank: int) -> Path:
    return root / f"rank-{rank}"


def _check_seen(root: Path, marks: Sequence[tuple[str, str]]) -> None:
    deadline = time.monotonic() + _SEEN_WITHIN_S
    for rank, (mark, host) in enumerate(marks):
        while _text(_of_rank(root, rank) / _MARK) != mark:
            if time.monotonic() > deadline:
                raise ValueError(
                    f"rank {rank} on {host} made its folder {_of_rank(root, rank)}, which rank 0 on {marks[0][1]} cannot see; "
                    "path= must be in a folder of a file system that all ranks share"
                )
            time.sleep(0.1)


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _found(root: Path, rank: int, file: ArrayFile) -> ArrayFile:
    """A file of a rank where this rank sees it."""
    path = _of_rank(root, rank) / file.path.name
    size: Any = path.stat().st_size if path.exists() else None
    expected = int(np.prod(file.shape)) * np.dtype(file.dtype).itemsize
    if size != expected:
        what = (
            f"the shard of rank {rank} has no {path}" if size is None else f"{path} has {size:,} of {expected:,} bytes"
        )
        raise OSError(
            f"{what}; all ranks must write to a file system that they share, and nobody may remove their files before close()"
        )
    return dataclasses.replace(file, path=path)
