"""What happens at the machine's limits: a full disk, and files larger than memory should be."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import StorageFull
from service.ingest import Limits, ingest
from service.ingest.faults import translated_errors
from service.store.fingerprints import Fingerprints, of_texts
from tests.unit.ingest.uploads import Take, csv_of, npz_of


def test_a_full_disk_is_told_as_such() -> None:
    table = pa.table({"x": np.random.default_rng(0).normal(size=100_000)})
    with pytest.raises(StorageFull, match="disk"), translated_errors(), Path("/dev/full").open("wb") as full:
        pq.write_table(table, full)
    with pytest.raises(StorageFull), translated_errors(), Path("/dev/full").open("w") as file:
        file.write("x")


def test_another_fault_of_the_machine_is_not_the_clients() -> None:
    with pytest.raises(FileNotFoundError), translated_errors():
        Path("/nowhere/at/all").read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if made.returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "npz"])
def test_nothing_is_kept_when_the_disk_is_full(small_disk: Path, tmp_path: Path, form: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(40_000, 6))
    text = "a,b,c,d,e,f,label\n" + "".join(f"{','.join(map(str, row))},{i % 2}\n" for i, row in enumerate(numbers))
    contents = {
        "csv": text.encode(),
        "csv.gz": gzip.compress(text.encode(), 1),
        "npz": npz_of(x=numbers, y=np.arange(40_000) % 2),
    }
    source = tmp_path / f"data.{form}"
    source.write_bytes(contents[form])
    with pytest.raises(StorageFull):
        ingest(source, source.name, DatasetSpec(), small_disk / "a" / "data", small_disk / "a" / "skipped", Limits())
    assert list((small_disk / "a").iterdir()) == []


_PEAK = """
import resource, sys
from pathlib import Path
from service.domain.dataset import DatasetSpec
from service.ingest import Limits, ingest
folder = Path(sys.argv[1])
found = ingest(folder / "in", "a.csv", DatasetSpec(), folder / "data", folder / "skipped", Limits())
print(found.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, content: bytes) -> int:
    """The most memory, in MiB, that a process of its own needs to ingest this."""
    (folder / "in").write_bytes(content)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    told_ = subprocess.run(
        [sys.executable, "-c", _PEAK, folder], capture_output=True, check=True, text=True, env=environment
    )
    return int(told_.stdout.split()[1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten times the rows, 3 MB against 30 MB of text with an id and a free text, cost less than 25 MiB more."""
    header = b"customer_id,x,y,note,word,target\n"
    block = b"c{0},%d.25,-%d.5,a note of many words {0} %d,%s,%s\n"
    rows = b"".join(block % (i, i * 7, i, [b"red", b"blue"][i % 2], [b"p", b"q"][i % 3 % 2]) for i in range(5_000))
    small, large = (
        header
        + b"".join(rows.replace(b"{0}", b"%dz" % part).replace(b"c%dz" % part, b"c%dz" % part) for part in range(n))
        for n in (10, 100)
    )
    assert peak(tmp_path, large) - peak(tmp_path, small) < 25


def test_repeats_are_found_exactly_whatever_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.fingerprints._HELD", 100)
    words = [f"w{i}" for i in range(1_000)]
    words[870] = "w33"
    words[640] = "w12"
    words[641] = "w12"
    with Fingerprints(tmp_path / "prints") as prints:
        for start in range(0, 1_000, 300):
            prints.add(of_texts(pa.array(words[start : start + 300])))
        assert prints.first_repeat() == (12, 640)
        assert prints.repeats() == 3
    assert not (tmp_path / "prints").exists()


def test_outputs_of_an_earlier_run_survive_a_failure(tmp_path: Path) -> None:
    source, data, skipped = tmp_path / "a.csv", tmp_path / "data", tmp_path / "skipped"
    source.write_text(csv_of(10))
    ingest(source, "a.csv", DatasetSpec(), data, skipped, Limits())
    before = data.read_bytes()
    source.write_text("x,target\n1,p\n")
    with pytest.raises(Exception, match="at least 2"):
        ingest(source, "a.csv", DatasetSpec(), data, skipped, Limits())
    assert data.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_the_same_file_gives_the_same_bytes(take: Take) -> None:
    first = take(csv_of(3_000)).data.read_bytes()
    assert take(csv_of(3_000)).data.read_bytes() == first


def test_wide_tables_are_read_in_small_batches(take: Take) -> None:
    header = ",".join([*(f"c{i}" for i in range(3_000)), "target"])
    rows = [",".join([*(str(i * (j % 16 + 1) % 17 + i % 3) for j in range(3_000)), "pq"[i % 2]]) for i in range(40)]
    outcome = take("\n".join([header, *rows]))
    assert len(outcome.found.features) == 3_000
    assert outcome.column("c5") == [i * 6 % 17 + i % 3 for i in range(40)]


def test_open_files_are_closed(take: Take) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        take(csv_of(100))
        with pytest.raises(Exception, match="at least 2"):
            take("x,target\n1,p\n")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
