"""What it costs to pass a block's result from one worker to another: as one object with its digest, or as a file with a seal beside it.

    python -m benchmarks.block_results [--blocks 200] [--stack embedded s3]

The result is that of 1,024 rows and ten classes, 300 KB. It is written on one host and read on another, in both ways by turns, so that
whatever else computes on the machine slows both. Milliseconds are processor time of this process, not of the server.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load, save_file

from benchmarks.result_sections import write_sections
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from service.store.blocks import HelpedBlock, RowBlock
from service.store.seal import read_checked, sealed_write
from tests import servers
from worker.influence.row_computations import GRAIN, Arrays
from worker.job.shared_files import SharedFiles

RESULTS = Path(__file__).parent / "results" / "shared_scoring.md"
CLASSES = 10
WARM_UP = 5


@dataclass(frozen=True)
class Way:
    """A way to pass a result on; seconds of processor time that each block took."""

    name: str
    write: Callable[[SharedFiles, HelpedBlock, Arrays], None]
    read: Callable[[SharedFiles, HelpedBlock], Arrays]
    written: list[float] = field(default_factory=list)
    has_read: list[float] = field(default_factory=list)

    def pass_on(self, here: SharedFiles, there: SharedFiles, taken: HelpedBlock, result: Arrays) -> None:
        """Write a block here and read it there."""
        began = time.process_time()
        self.write(here, taken, result)
        between = time.process_time()
        found = self.read(there, taken)
        self.has_read.append(time.process_time() - between)
        self.written.append(between - began)
        if not all(torch.equal(one, found[name]) for name, one in result.items()):
            raise RuntimeError(f"{self.name}: what was read is not what was written")


def write_with_seal(files: SharedFiles, taken: HelpedBlock, arrays: Arrays) -> None:
    """As every other artefact is written: a file and its seal, which are then uploaded."""
    path = _sealed_path(files, taken)
    with sealed_write(path) as part:
        save_file(arrays, part)
    files.blobs.upload(path)


def read_with_seal(files: SharedFiles, taken: HelpedBlock) -> Arrays:
    """Fetch both, and check the one by the other."""
    found: Arrays = load(read_checked(files.blobs.shared_file(_sealed_path(files, taken))))
    return found


def _sealed_path(files: SharedFiles, taken: HelpedBlock) -> Path:
    return files.folder / f"sealed-{taken.block.first}"


def result_of_pairs() -> Arrays:
    """As many numbers as every pair of 1,024 rows is reduced to."""
    sides: Arrays = {}
    for side in ("positive", "negative"):
        sides |= {f"{side}.{name}": torch.rand(GRAIN, CLASSES) for name in ("amount", "count")}
        sides |= {f"{side}.strongest": torch.randint(0, 8_000, (GRAIN, 5)), f"{side}.values": torch.rand(GRAIN, 5)}
    return {**sides, "repaired": torch.rand(GRAIN), "moved": torch.rand(GRAIN)}


@contextmanager
def hosts_on(stack: str, folder: Path) -> Iterator[tuple[SharedFiles, SharedFiles]]:
    """The files of one job as two hosts see them."""
    with ExitStack() as opened:
        if stack == "s3":
            server = opened.enter_context(servers.s3())
            opened.enter_context(mock.patch.dict(os.environ, server.environment))
            homes = [folder / name for name in ("first", "second")]
            blobs = [Blobs(home, ArtefactCache(home, ArtefactStore("s3://suspects/blocks"), 2**30)) for home in homes]
            blobs[0].probe()
        else:
            blobs = [Blobs(folder / "home")] * 2
        first, second = (SharedFiles(one, "job_1", "claim") for one in blobs)
        for one in (first, second):
            one.folder.mkdir(parents=True, exist_ok=True)
        yield first, second


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=200)
    parser.add_argument("--stack", choices=["embedded", "s3"], nargs="+", default=["embedded", "s3"])
    arguments = parser.parse_args()
    columns = ("stack", "way", "ms to write", "ms to read")
    table = Table(*columns)
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    torch.set_num_threads(1)
    result = result_of_pairs()
    for stack in arguments.stack:
        ways = [
            Way("a file and its seal", write_with_seal, read_with_seal),
            Way("one object", SharedFiles.write_block, SharedFiles.read_block),
        ]
        with tempfile.TemporaryDirectory() as folder, hosts_on(stack, Path(folder)) as (here, there):
            for number in range(arguments.blocks + WARM_UP):
                block = RowBlock("job_1", "claim", "pairs", number * GRAIN, (number + 1) * GRAIN)
                for way in ways:
                    way.pass_on(here, there, HelpedBlock(block, "helper", done=False), result)
        for way in ways:
            seconds = (way.written[WARM_UP:], way.has_read[WARM_UP:])
            row = (stack, way.name, *(f"{1e3 * median(one):.2f}" for one in seconds))
            table.add_row(*row)
            lines.append("| " + " | ".join(row) + " |")
    told = f"Medians of {arguments.blocks} blocks of {sum(one.nbytes for one in result.values()) // 1000} KB; processor time of the client."
    write_sections(RESULTS, "Shared scoring", {"A block's result": [told, "", *lines]})
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
