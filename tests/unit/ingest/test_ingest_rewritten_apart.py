"""Uploads are rewritten in processes of their own, which the limits of uploads hold, and sent while they are written."""

import gzip
import json
import multiprocessing
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Conflict, StorageFull, TooLarge, TooMany
from service.ingest import Limits
from service.ingest.confined import IngestProcesses
from service.ingest.confinement import Confinement
from service.ingest.rewritten.apart import rewritten_apart
from service.ingest.rewritten.edits import Edits
from service.ingest.rewritten.forms import rewritten
from service.store.originals import Original

ROWS = 20_000


class Gone(Exception):
    """The client has gone away."""


def kept(rows: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    return iter(rows)


EDITS = Edits({1: "oak"}, frozenset({2}), {1: "1", 2: "2"}, partial(kept, [(0, "oak")]))


def original(folder: Path, content: bytes, name: str = "trees.csv") -> Original:
    path = folder / "upload"
    path.write_bytes(content)
    return Original(path, name, DatasetSpec(label="kind"))


def trees(rows: int = 3) -> bytes:
    return b"size,kind\n" + b"".join(b"%d,%s\n" % (row, (b"oak", b"elm")[row % 2]) for row in range(rows))


def read(one: Original, folder: Path, **confined: Any) -> Iterator[bytes]:
    processes = IngestProcesses(Confinement(**confined))
    return rewritten_apart(processes, one, "kind", EDITS, Limits(), folder, lambda: None)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing is left."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (trees(), "trees.csv"),
        (gzip.compress(trees(ROWS), mtime=0), "trees.csv.gz"),
        (b"".join(json.dumps({"kind": kind}).encode() + b"\n" for kind in ("oak", "elm", "elm")), "trees.jsonl"),
    ],
)
def test_what_is_rewritten_apart_is_what_is_rewritten_here(
    tmp_path: Path, scratch: Path, content: bytes, name: str
) -> None:
    one = original(tmp_path, content, name)
    here = b"".join(rewritten(one, "kind", EDITS, Limits(), scratch))
    assert here != content
    assert b"".join(read(one, scratch)) == here


def test_a_form_that_cannot_be_written_is_refused_before_the_first_piece(tmp_path: Path, scratch: Path) -> None:
    columns = json.dumps({"kind": {"0": "oak", "1": "elm", "2": "elm"}}).encode()
    with pytest.raises(Conflict, match="cannot be written as json, columns"):
        read(original(tmp_path, columns, "trees.json"), scratch)


def test_one_that_takes_more_memory_is_refused_by_the_name_of_the_setting(tmp_path: Path, scratch: Path) -> None:
    long = b'{"kind": "oak", "note": "' + b"x" * 50_000_000 + b'"}\n{"kind": "elm"}\n{"kind": "elm"}\n'
    with pytest.raises(TooLarge, match="SUSPECTS_INGEST_MEMORY_BYTES"):
        read(original(tmp_path, long, "trees.jsonl"), scratch, memory_bytes=30_000_000)


def test_a_client_that_goes_away_ends_the_process(tmp_path: Path, scratch: Path) -> None:
    content = read(original(tmp_path, trees(5 * ROWS)), scratch)
    next(content)
    content.close()  # type: ignore[attr-defined]  # a generator
    del content
    read(original(tmp_path, trees(5 * ROWS)), scratch)  # of which nobody reads anything

    def gone() -> None:
        raise Gone

    one = original(tmp_path, b"")
    one.path.unlink()
    os.mkfifo(one.path)  # which is never read to its end
    with pytest.raises(Gone):
        rewritten_apart(IngestProcesses(), one, "kind", EDITS, Limits(), scratch, gone)


def test_it_waits_for_its_turn_as_uploads_do(tmp_path: Path, scratch: Path) -> None:
    busy = IngestProcesses(most=1, waiting=-1)
    with pytest.raises(TooMany):
        rewritten_apart(busy, original(tmp_path, trees()), "kind", EDITS, Limits(), scratch, lambda: None)


def test_a_full_disk_is_told(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _size: "chosen")
    (scratch / "chosen.part").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        read(original(tmp_path, trees()), scratch)
