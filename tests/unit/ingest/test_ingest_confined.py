"""Uploads are read in processes of their own, which limits of memory, time and file size hold."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Invalid, Malformed, SuspectsError, TooLarge, TooMany, UnreadableType
from service.ingest import Ingested, Limits, ingest
from service.ingest.confined import IngestProcesses, Reading
from service.ingest.confinement import Confinement
from service.ingest.networks import network_content
from tests.unit.ingest.uploads import csv_of, npz_of, png, zip_of


class Gone(Exception):
    """The client has gone away."""


def reading(folder: Path, content: bytes | str, name: str = "a.csv", **spec: Any) -> Reading:
    source = folder / "source"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Reading(source, name, DatasetSpec(**spec), folder / "out" / "data", folder / "out" / "skipped", Limits())


def read(one: Reading, **confined: Any) -> Ingested:
    return IngestProcesses(Confinement(**confined)).ingest(one, lambda: None)


def endless(folder: Path) -> Reading:
    """A file that is never read to its end: a pipe that nobody writes into."""
    one = reading(folder, "")
    one.source.unlink()
    os.mkfifo(one.source)
    return one


def check_nothing_is_left(one: Reading) -> None:
    assert list(one.data.parent.glob("**/*")) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("kind", ["table", "images"])
def test_what_is_read_in_a_process_of_its_own_is_what_is_read_here(tmp_path: Path, kind: str) -> None:
    images = zip_of({f"{label}/{i}.png": png(value=i) for label in ("cat", "dog") for i in range(3)})
    table = csv_of(40) + "1,red,\n"
    one = reading(tmp_path, images, "a.zip") if kind == "images" else reading(tmp_path, table)
    found = read(one)
    files = one.data.read_bytes(), one.skipped.read_bytes()
    assert found == ingest(one.source, one.filename, one.spec, one.data, one.skipped, one.limits)
    assert files == (one.data.read_bytes(), one.skipped.read_bytes())
    assert sorted(path.name for path in one.data.parent.iterdir()) == ["data", "skipped"]


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [(csv_of(40).encode(), "a.csv", Invalid), (b"PAR1" + b"x" * 99, "a.parquet", Malformed)],
)
def test_errors_are_those_of_reading_here(tmp_path: Path, content: bytes, name: str, kind: type) -> None:
    one = reading(tmp_path, content, name, label="colr")
    with pytest.raises(SuspectsError) as here:
        ingest(one.source, one.filename, one.spec, one.data, one.skipped, one.limits)
    with pytest.raises(kind) as apart:
        read(one)
    assert (type(apart.value), vars(apart.value)) == (type(here.value), vars(here.value))
    check_nothing_is_left(one)


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\x80\x04.", UnreadableType), (b"\x09" + b"\0" * 7 + b'{"a":[[]]', Malformed)]
)
def test_errors_of_networks_are_those_of_reading_here(tmp_path: Path, content: bytes, kind: type) -> None:
    path = tmp_path / "network"
    path.write_bytes(content)
    with pytest.raises(SuspectsError) as here:
        network_content(path, 2**30)
    with pytest.raises(kind) as apart:
        IngestProcesses().network_content(path, 2**30, lambda: None)
    assert (type(apart.value), vars(apart.value)) == (type(here.value), vars(here.value))


def test_a_network_that_takes_more_memory_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    header = b'{"a":[' + b"[]," * 300_000 + b"[]]}"
    (tmp_path / "network").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(TooLarge, match="SUSPECTS_INGEST_MEMORY_BYTES"):
        IngestProcesses(Confinement(memory_bytes=10_000_000)).network_content(tmp_path / "network", 2**30, lambda: None)


def test_a_file_that_takes_more_memory_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    texts, file = pa.table({"text": ["a" * 60_000_000, "b"], "label": ["p", "q"]}), io.BytesIO()
    pq.write_table(texts, file, compression="zstd")
    one = reading(tmp_path, file.getvalue(), "a.parquet")
    with pytest.raises(TooLarge, match=r"50,000,000 bytes of memory.*SUSPECTS_INGEST_MEMORY_BYTES"):
        read(one, memory_bytes=50_000_000)
    check_nothing_is_left(one)


def test_a_file_that_takes_longer_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    one = endless(tmp_path)
    with pytest.raises(TooLarge, match="SUSPECTS_INGEST_SECONDS"):
        read(one, seconds=0.05)
    check_nothing_is_left(one)


def test_larger_files_have_more_time() -> None:
    confinement = Confinement(seconds=10)
    assert confinement.processor_seconds(1) == confinement.processor_seconds(2**26) == 10
    assert confinement.processor_seconds(2**30) == 160


def test_processor_time_is_limited(tmp_path: Path) -> None:
    """Several seconds of work in one second."""
    rows = np.random.default_rng(0).normal(size=(60_000, 8)).round(6).tolist()
    lines = [",".join([*map(str, row), "pq"[i % 2]]) for i, row in enumerate(rows)]
    one = reading(tmp_path, "\n".join(["a,b,c,d,e,f,g,h,label", *lines * 12]))
    with pytest.raises(TooLarge, match="SUSPECTS_INGEST_SECONDS"):
        read(one, seconds=0.8)
    check_nothing_is_left(one)


def test_a_file_that_writes_too_much_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(4_000, 3))
    one = reading(tmp_path, npz_of(x=numbers, y=np.arange(4_000) % 2), "a.npz")
    with pytest.raises(TooLarge, match=r"20,000 bytes.*SUSPECTS_MAX_EXPANDED_BYTES"):
        read(one, file_bytes=20_000)
    check_nothing_is_left(one)


def test_reading_ends_when_the_client_goes_away(tmp_path: Path) -> None:
    one = endless(tmp_path)

    def check() -> None:
        raise Gone

    with pytest.raises(Gone):
        IngestProcesses().ingest(one, check)
    check_nothing_is_left(one)


def test_uploads_wait_for_each_other_and_are_refused_where_too_many_wait(tmp_path: Path) -> None:
    processes, over, begun = IngestProcesses(most=1, waiting=0), threading.Event(), threading.Event()
    one = endless(tmp_path)

    def check() -> None:
        begun.set()
        if over.is_set():
            raise Gone

    def first() -> None:
        with pytest.raises(Gone):
            processes.ingest(one, check)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with pytest.raises(TooMany, match="too many uploads"):
        processes.ingest(one, check)
    over.set()
    thread.join()
    (tmp_path / "b").mkdir()
    assert processes.ingest(reading(tmp_path / "b", csv_of(10)), lambda: None).rows == 10


_KILLED = """
import multiprocessing, sys
from pathlib import Path
from service.domain.dataset import DatasetSpec
from service.ingest import Limits
from service.ingest.confined import IngestProcesses, Reading
folder = Path(sys.argv[1])

def check():
    print(*(one.pid for one in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    one = Reading(folder / "source", "a.csv", DatasetSpec(), folder / "out" / "data", folder / "out" / "skipped", Limits())
    IngestProcesses().ingest(one, check)
"""


def test_a_process_that_reads_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    endless(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(_KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (Path("/proc") / str(child)).exists():
        assert time.monotonic() < deadline, "the process goes on"
        time.sleep(0.02)
