"""Reads damaged files in a process that is watched: one that crashes, hangs or grows tells which file did it."""

import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from service.domain.dataset import DatasetSpec, SkippedRow
from service.domain.errors import SuspectsError
from service.ingest import Limits, ingest
from tests.fuzz.damage import damaged
from tests.fuzz.seeds import SEEDS, Seed
from tests.unit.ingest.uploads import Outcome, check_agreement

WITHIN_S = 20.0  # for a file of some kilobytes, on a busy machine
MOST_MIB = 2048
_LIMITS = Limits()
_READ, _REFUSED = "read", "refused"


@dataclass
class Tally:
    """What became of the files made from a seed. `failed` has the number of each with the reason."""

    seed: Seed
    read: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    peak_mib: float = 0.0
    failed: dict[int, str] = field(default_factory=dict)

    def count(self, number: int, outcome: str, seconds: float, peak_mib: float) -> None:
        """Add one file."""
        self.slowest_s, self.peak_mib = max(self.slowest_s, seconds), max(self.peak_mib, peak_mib)
        if outcome == _READ:
            self.read += 1
        elif outcome == _REFUSED:
            self.refused += 1
        else:
            self.failed[number] = outcome


def run(seed: Seed, count: int, first: int = 0) -> Tally:
    """Read `count` files made from a seed, each within WITHIN_S and MOST_MIB."""
    tally, number = Tally(seed), first
    while number < first + count:
        number = _run_until_it_ends(seed, number, first + count, tally)
    return tally


def _run_until_it_ends(seed: Seed, begin: int, end: int, tally: Tally) -> int:
    """Read files from `begin` in one process, and give the number of the first that is still to be read."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_read_all, args=(SEEDS.index(seed), begin, end, theirs), daemon=True)
    process.start()
    theirs.close()
    number = begin
    try:
        ready = ours.poll(120)  # its imports
        while number < end:
            if not ready and not ours.poll(WITHIN_S):
                tally.failed[number] = f"not read within {WITHIN_S:.0f} s"
                return number + 1
            ready = False
            tally.count(number, *ours.recv())
            number += 1
    except EOFError:
        process.join()
        tally.failed[number] = f"the process ended with {process.exitcode}"
        return number + 1
    finally:
        process.kill()
        process.join()
    return number


def _read_all(place: int, begin: int, end: int, tell: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(begin, end):
            started = time.perf_counter()
            outcome = read(SEEDS[place], damaged(SEEDS[place], number), Path(folder))
            seconds = time.perf_counter() - started
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            if peak_mib > MOST_MIB and outcome in (_READ, _REFUSED):
                outcome = f"took the process to {peak_mib:.0f} MiB"
            tell.send((outcome, seconds, peak_mib))


def read(seed: Seed, content: bytes, folder: Path) -> str:
    """What becomes of a file: "read", "refused" with an error for clients, or what must not be."""
    source, into = folder / "upload", folder / "out"
    source.write_bytes(content)
    data, skipped = into / "data.parquet", into / "skipped.jsonl"
    for old in into.glob("*"):
        old.unlink()
    try:
        found = ingest(
            source,
            seed.filename,
            DatasetSpec(label="label") if _has_columns(seed) else DatasetSpec(),
            data,
            skipped,
            _LIMITS,
        )
        rows = [SkippedRow.model_validate_json(line) for line in skipped.read_text().splitlines()]
        check_agreement(Outcome(found, data, rows))
    except (SuspectsError, MemoryError):  # of the second, the process that reads uploads makes an error for clients
        left = sorted(path.name for path in into.glob("**/*"))
        return f"left {left}" if left else _REFUSED
    except Exception as error:  # noqa: BLE001 - any of them is what is looked for
        return f"{type(error).__name__}: {error}"[:300]
    return _READ


def _has_columns(seed: Seed) -> bool:
    return seed.reader in ("csv", "json", "jsonl", "parquet", "arrow", "excel", "arff") or seed.filename == "parts.zip"
