"""What is read of a file is what was written, or Damaged is raised."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Damaged
from service.store import seal
from tests.damage import cut_short, flip_bit

LARGE = 3 * 2**16 + 123


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with seal.sealed_write(path) as part:
        part.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, LARGE])
def test_a_sound_file_is_read_as_it_was_written(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(0).bytes(size)
    path = written(tmp_path / "a", content)
    seal.check(path)
    assert seal.read_checked(path) == content
    with seal.open_checked(path) as file:
        file.seek(size // 2)
        assert file.read() == content[size // 2 :]


@pytest.mark.parametrize("size", [1, 2**16, LARGE])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_no_flipped_bit_is_missed_anywhere(tmp_path: Path, size: int, place: float) -> None:
    path = written(tmp_path / "a", np.random.default_rng(0).bytes(size))
    flip_bit(path, place)
    for read in (seal.check, seal.check_once, seal.read_checked):
        with pytest.raises(Damaged, match="not as they were written"):
            read(path)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_content_with_its_digest_is_given_as_it_was_written_or_not_at_all(size: int) -> None:
    content, path = np.random.default_rng(0).bytes(size), Path("jobs/job_1/shared/0.block")
    whole = seal.with_digest(content)
    assert seal.without_digest(whole, path) == content
    shorter = [whole[:length] for length in range(len(whole))]
    flipped = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in range(len(whole))]
    for damaged in (*shorter, *flipped, whole + b"+", bytes(len(whole))):
        with pytest.raises(Damaged, match=r"jobs/job_1/shared/0.block is damaged: it is not as it was written"):
            seal.without_digest(damaged, path)


def test_a_file_that_became_shorter_or_longer_is_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"0123456789")
    path.write_bytes(b"0123456789+")
    with pytest.raises(Damaged, match=r"11 bytes, and 10 were written"):
        seal.check(path)
    cut_short(path)
    with pytest.raises(Damaged, match="5 bytes"):
        seal.check(path)


@given(start=st.integers(0, LARGE), length=st.integers(0, LARGE), broken=st.integers(0, LARGE // 2**16))
def test_a_reader_of_a_part_finds_the_damage_of_that_part_alone(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, broken: int
) -> None:
    content = np.random.default_rng(0).bytes(LARGE)
    path = written(tmp_path_factory.mktemp("part") / "a", content)
    flip_bit(path, (broken * 2**16 + 9) / LARGE)
    stop = min(start + length, LARGE)
    touches = start < stop and start // 2**16 <= broken <= (stop - 1) // 2**16
    with seal._CheckedFile(path) as file:
        file.seek(start)
        if touches:
            with pytest.raises(Damaged):
                file.read(length)
        else:
            assert file.read(length) == content[start:stop]


def test_a_file_without_a_seal_is_of_an_earlier_version_and_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    seal.check(path)
    assert seal.read_checked(path) == b"old"


def test_a_damaged_seal_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"content")
    cut_short(path.with_name("a.seal"))
    with pytest.raises(Damaged, match=r"a\.seal"):
        seal.check(path)


def test_a_writer_that_fails_leaves_the_file_and_the_seal_of_before(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"before")
    with pytest.raises(IsADirectoryError), seal.sealed_write(path) as part:
        _fail(part)
    assert seal.read_checked(path) == b"before"
    assert {one.name for one in tmp_path.iterdir()} == {"a", "a.seal"}


def _fail(part: Path) -> None:
    part.write_bytes(b"after")
    part.parent.write_bytes(b"")


def test_a_folder_has_one_seal_that_names_the_file_that_is_damaged_or_missing(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "job_1" / "evidence"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / name).write_bytes(name.encode())
    seal.seal_folder(folder)
    (folder / "later").write_bytes(b"not part of it")
    seal.check_folder(folder)
    flip_bit(folder / "two")
    with pytest.raises(Damaged, match=r"^jobs/job_1/evidence/two is damaged: .*submit the job again$"):
        seal.check_folder(folder)
    (folder / "two").unlink()
    with pytest.raises(Damaged, match="two is damaged: it is missing"):
        seal.check_folder(folder)


@pytest.mark.parametrize("whole", [0, 2**25])
def test_a_table_is_read_checked_however_large_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    monkeypatch.setattr(seal, "_WHOLE", whole)
    table = pa.table({"a": range(200_000), "b": np.random.default_rng(0).normal(size=200_000)})
    path = tmp_path / "data.parquet"
    with seal.sealed_write(path) as part:
        pq.write_table(table, part, row_group_size=10_000)
    with seal.open_parquet(path) as file:
        assert file.read().equals(table)
        assert file.read_row_group(3, columns=["a"]).num_rows == 10_000
    flip_bit(path)
    for read in (_read_batches, _read_all):
        with pytest.raises(Damaged, match=r"data\.parquet is damaged"):
            read(path)


def _read_batches(path: Path) -> None:
    with seal.open_parquet(path) as file:
        for _ in file.iter_batches(2048):
            pass


def _read_all(path: Path) -> None:
    with seal.open_parquet(path) as file:
        file.read()


def array(path: Path) -> Path:
    with seal.sealed_write(path) as part, part.open("wb") as file:
        np.save(file, np.arange(40_000.0).reshape(20_000, 2))
    return path


def test_a_row_of_an_array_is_checked_and_no_other(tmp_path: Path) -> None:
    path = array(tmp_path / "a.npy")
    flip_bit(path, 0.9)
    assert seal.row_of(path, 7).tolist() == [14, 15]
    with pytest.raises(Damaged):
        seal.row_of(path, 18_000)


@pytest.mark.parametrize("damage", [lambda path: flip_bit(path, 0), cut_short])
@pytest.mark.parametrize("read", [seal.open_array, lambda path: seal.row_of(path, 0)])
def test_an_array_with_a_damaged_header_or_no_end_is_damaged(
    tmp_path: Path, damage: Callable[[Path], None], read: Callable[[Path], object]
) -> None:
    path = array(tmp_path / "a.npy")
    damage(path)
    with pytest.raises(Damaged):
        read(path)


@pytest.mark.parametrize("damage", [flip_bit, cut_short, lambda path: path.write_text("[]")])
def test_json_that_can_be_made_again_is_deleted_when_it_is_damaged(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = written(tmp_path / "rate.json", b'{"rate": 0.125}')
    assert seal.read_json(path) == {"rate": 0.125}
    damage(path)
    assert seal.read_json(path) is None
    assert list(tmp_path.iterdir()) == []
    assert seal.read_json(path) is None
