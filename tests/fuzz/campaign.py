"""Reads hostile files in a process that is watched: one that crashes, hangs or grows tells which file did it."""

import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from service.domain.dataset import DatasetSpec, SkippedRow
from service.domain.errors import SuspectsError
from service.ingest import Limits, ingest
from service.ingest.confined import IngestProcesses, Reading
from service.ingest.confinement import Confinement
from service.ingest.networks import network_content
from tests.fuzz.sources import SOURCES, Source
from tests.unit.ingest.uploads import Outcome, check_agreement

WITHIN_S = 20.0  # of processor time, for a file of up to FULL_SPEED_MIB; a larger one gets as much more as it is larger
_PATIENCE = 6  # of the clock over processor time: a machine may be busy with other work
FULL_SPEED_MIB = 32
MOST_MIB = 3072  # the service ends the process at 4 GiB
_TO_MAKE_S = 120.0
_SCRATCH = Path("/dev/shm")
_LIMITS = Limits()
_READ, _REFUSED = "read", "refused"
_LABELLED = ("csv", "json", "jsonl", "parquet", "arrow", "excel", "arff")


@dataclass
class Tally:
    """What became of the files made from a source. `failed` has the number of each with the reason.

    `ended` of the refused ones ended the process that read them, by a crash of a library or at the limit of memory, and were
    refused by the service for it.
    """

    source: str
    read: int = 0
    refused: int = 0
    ended: int = 0
    slowest_s: float = 0.0
    peak_mib: float = 0.0
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many there were."""
        return self.read + self.refused + len(self.failed)

    def count(self, number: int, outcome: str, seconds: float, peak_mib: float) -> None:
        """Add one file."""
        self.slowest_s, self.peak_mib = max(self.slowest_s, seconds), max(self.peak_mib, peak_mib)
        if outcome == _READ:
            self.read += 1
        elif outcome == _REFUSED:
            self.refused += 1
        else:
            self.failed[number] = outcome


def run(source: Source, count: int, first: int = 0) -> Tally:
    """Read `count` files made from a source, each within its time and MOST_MIB."""
    tally, number = Tally(source.name), first
    while number < first + count:
        # Made here, since a process that is ended would leave it behind, in memory.
        with tempfile.TemporaryDirectory(dir=_SCRATCH if _SCRATCH.is_dir() else None) as folder:
            number = _run_until_it_ends(source, number, first + count, tally, Path(folder))
    return tally


def _run_until_it_ends(source: Source, begin: int, end: int, tally: Tally, folder: Path) -> int:
    """Read files from `begin` in one process, up to the first that fails; the number of the next one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "tests.fuzz.campaign"])  # so that a process begins at once
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_read_all, args=(source.name, begin, end, folder, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        for number in range(begin, end):
            within = ours.recv() if ours.poll(_TO_MAKE_S) else _TO_MAKE_S
            if not ours.poll(_PATIENCE * within):
                tally.failed[number] = f"not read within {_PATIENCE * within:.0f} s by the clock"
                return number + 1
            tally.count(number, *ours.recv())
            if number in tally.failed:  # what it has left in memory would be blamed on the next
                return number + 1
    except EOFError:
        process.join()
        outcome, seconds = _read_by_service(source, number)
        tally.count(number, outcome if outcome != _READ else f"the process ended with {process.exitcode}", seconds, 0.0)
        tally.ended += outcome == _REFUSED
        return number + 1
    finally:
        process.kill()
        process.join()
    return end


def _read_all(name: str, begin: int, end: int, folder: Path, tell: Connection) -> None:
    source = SOURCES[name]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Confinement(seconds=10**6).enter(0)  # of the memory that the service allows
    pa.set_cpu_count(1)
    for number in range(begin, end):
        content = source.file(number)
        within = WITHIN_S * max(1.0, len(content) / (FULL_SPEED_MIB * 2**20))
        tell.send(within)
        before, started = _peak_mib(), time.process_time()
        outcome = read(source, content, folder)
        seconds, peak_mib = time.process_time() - started, _peak_mib()
        if seconds > within and outcome in (_READ, _REFUSED):
            outcome = f"took {seconds:.0f} s of processor time"
        # A peak that was there before is of making the file, or of an earlier one.
        if peak_mib > max(MOST_MIB, before) and outcome in (_READ, _REFUSED):
            outcome = f"took the process to {peak_mib:.0f} MiB"
        tell.send((outcome, seconds, peak_mib if peak_mib > before else 0.0))


def _read_by_service(source: Source, number: int) -> tuple[str, float]:
    """What the service does with a file that ended the process, and in which time."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        upload, into = Path(folder) / "upload", Path(folder) / "out"
        upload.write_bytes(source.file(number))
        places = into / "data.parquet", into / "skipped.jsonl"
        try:
            IngestProcesses().ingest(Reading(upload, source.filename, _spec(source), *places, _LIMITS), lambda: None)
        except SuspectsError:
            return _REFUSED, time.perf_counter() - started
        except Exception as error:  # noqa: BLE001 - any of them is what is looked for
            return f"{type(error).__name__}: {error}"[:300], time.perf_counter() - started
    return _READ, time.perf_counter() - started


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read(source: Source, content: bytes, folder: Path) -> str:
    """What becomes of a file: "read", "refused" with an error for clients, or what must not be."""
    upload, into = folder / "upload", folder / "out"
    upload.write_bytes(content)
    for old in into.glob("*"):
        old.unlink()
    try:
        _take(source, upload, into)
    except (SuspectsError, MemoryError):  # of the second, the process that reads uploads makes an error for clients
        left = sorted(path.name for path in into.glob("**/*"))
        return f"left {left}" if left else _REFUSED
    except Exception as error:  # noqa: BLE001 - any of them is what is looked for
        return f"{type(error).__name__}: {error}"[:300]
    return _READ


def _take(source: Source, upload: Path, into: Path) -> None:
    if source.reader == "network":
        network_content(upload, _LIMITS.max_expanded_bytes)
        return
    data, skipped = into / "data.parquet", into / "skipped.jsonl"
    found = ingest(upload, source.filename, _spec(source), data, skipped, _LIMITS)
    rows = [SkippedRow.model_validate_json(line) for line in skipped.read_text().splitlines()]
    check_agreement(Outcome(found, data, rows))


def _spec(source: Source) -> DatasetSpec:
    has_label = source.reader in _LABELLED or source.filename == "parts.zip"
    return DatasetSpec(label="label" if has_label else None)
