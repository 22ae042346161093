"""Files that are whole or not there, and a full disk by its right name."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from service.domain.errors import StorageFull, disk_full
from tests.disk import CannotMount, mounted
from usual_suspects import files
from usual_suspects.files import atomic_write, disk_errors
from worker.training.loop import TrainingState


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_its_place_only_once_it_is_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "told.json"
    path.write_text("before")
    with atomic_write(path, durable=durable) as part:
        part.write_text("after")
        assert path.read_text() == "before"
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"told.json": "after"}


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_text("before")
    with pytest.raises(OSError, match="full"), atomic_write(path) as part, part.open("w") as file:
        _fill(file)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"told.json": "before"}


def _fill(file: IO[str]) -> None:
    file.write("half")
    raise OSError(errno.ENOSPC, "full")


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    with atomic_write(path) as first, first.open("w") as one:
        one.write("first ")
        with atomic_write(path) as second:
            second.write_text("second")
        one.write("writer")
    assert path.read_text() == "first writer"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_told_as_such(number: int) -> None:
    with pytest.raises(StorageFull), disk_full():
        raise OSError(number, "full")


def _torch(path: Path, values: np.ndarray[Any, Any]) -> None:
    TrainingState(1, 0.1, {"w": torch.from_numpy(values)}, {}).save(path)


WRITERS: dict[str, Callable[[Path, np.ndarray[Any, Any]], object]] = {
    "NumPy": lambda path, values: np.save(path, values),
    "NumPy, raw": lambda path, values: values.tofile(path),
    "NumPy, archive": lambda path, values: np.savez(path, a=values),
    "torch": _torch,
    "safetensors": lambda path, values: save_file({"a": torch.from_numpy(values)}, path),
    "Parquet": lambda path, values: pq.write_table(pa.table({"a": values}), path),
    "text": lambda path, values: path.write_text("é" * len(values)),
}


@pytest.mark.parametrize("left", [0, 4_096, 300_000])
@pytest.mark.parametrize("name", WRITERS)
def test_every_library_that_writes_says_that_the_disk_is_full_even_if_there_is_room_again(
    tmp_path: Path, name: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_full", lambda _folder: None)  # as if somebody had made room
    (tmp_path / "disk").mkdir()
    values = np.random.default_rng(0).random(200_000)
    try:
        with mounted(tmp_path / "disk", mebibytes=1) as disk:
            disk.fill(leave=left)
            with pytest.raises(OSError, match="No space left") as raised, disk_errors(disk.folder):
                WRITERS[name](disk.folder / "file.npy", values)
    except CannotMount as error:
        pytest.skip(str(error))
    assert raised.value.errno == errno.ENOSPC


def test_any_other_error_of_the_disk_stays_what_it_is() -> None:
    with pytest.raises(PermissionError), disk_full():
        raise PermissionError(errno.EACCES, "not ours")
