"""Files that are whole or not there, and a full disk by its right name."""

import errno
from pathlib import Path
from typing import IO

import pytest

from service.domain.errors import StorageFull, disk_full
from usual_suspects.files import atomic_write


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


def test_any_other_error_of_the_disk_stays_what_it_is() -> None:
    with pytest.raises(PermissionError), disk_full():
        raise PermissionError(errno.EACCES, "not ours")
