"""`make fuzz`: thousands of damaged files for every reader; prints and writes one table, and fails where one file did."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import MOST_MIB, WITHIN_S, Tally, run
from tests.fuzz.seeds import SEEDS

_RESULTS = Path("benchmarks/results/fuzz.md")


def main() -> int:
    """Read them, in one process a core."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("--files", type=int, default=20_000, help="damaged files for each good one")
    arguments.add_argument("--first", type=int, default=0, help="number of the first; the same number is the same file")
    arguments.add_argument("--only", help="name of a good file, such as data.csv")
    arguments.add_argument("--write", action="store_true", help=f"write {_RESULTS}")
    given = arguments.parse_args()
    seeds = [seed for seed in SEEDS if given.only in (None, seed.filename)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tallies = list(pool.map(lambda seed: run(seed, given.files, given.first), seeds))
    text = table(tallies)
    sys.stdout.write(text)
    if given.write:
        _RESULTS.write_text(text)
    return 1 if any(one.failed for one in tallies) else 0


def table(tallies: list[Tally]) -> str:
    """The table, and each file that failed, by the number that makes it again."""
    lines = [
        "# Damaged files, read within limits",
        "",
        f"`make fuzz`: each file is read within {WITHIN_S:.0f} s and {MOST_MIB} MiB, or refused with an error for clients.",
        "",
        "| reader | made from | files | read | refused | failed | slowest s | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in tallies:
        files = one.read + one.refused + len(one.failed)
        lines.append(
            f"| {one.seed.reader} | {one.seed.filename} | {files} | {one.read} | {one.refused} | {len(one.failed)} "
            f"| {one.slowest_s:.1f} | {one.peak_mib:.0f} |"
        )
    failed = [f"- {one.seed.filename} {number}: {why}" for one in tallies for number, why in one.failed.items()]
    return "\n".join([*lines, *(["", *failed] if failed else [])]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
