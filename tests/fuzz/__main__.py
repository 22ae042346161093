"""`make fuzz`: thousands of hostile files for every reader; prints and writes one table, and fails where one file did.

The tallies of finished kinds are kept in a file, so that a campaign that was interrupted goes on from there.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.campaign import FULL_SPEED_MIB, MOST_MIB, WITHIN_S, Tally, run
from tests.fuzz.sources import SOURCES, shares

_RESULTS = Path("benchmarks/results/fuzz.md")
_TALLIES = Path(".cache/fuzz.jsonl")
_REQUESTS = Path(".cache/fuzz-requests")  # reports of schemathesis, one a phase


def main() -> int:
    """Read them, in one process a core."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("--files", type=int, default=20_000, help="files for each reader")
    arguments.add_argument("--first", type=int, default=0, help="number of the first; the same number is the same file")
    arguments.add_argument("--only", action="append", help="a reader, or what files are made from, such as data.csv")
    arguments.add_argument("--processes", type=int, default=os.cpu_count(), help="how many read at once")
    arguments.add_argument("--resume", action="store_true", help=f"leave out what {_TALLIES} has already")
    arguments.add_argument("--write", action="store_true", help=f"write {_RESULTS}")
    given = arguments.parse_args()
    counts = {
        name: count
        for name, count in shares(given.files).items()
        if given.only is None or {name, SOURCES[name].reader} & set(given.only)
    }
    _TALLIES.parent.mkdir(exist_ok=True)
    known = _known() if given.resume else {}
    if not given.resume:
        _TALLIES.unlink(missing_ok=True)
    with ThreadPoolExecutor(given.processes) as pool, _TALLIES.open("a") as kept:
        begun = [
            pool.submit(run, SOURCES[name], count, given.first) for name, count in counts.items() if name not in known
        ]
        for ended in as_completed(begun):
            tally = ended.result()
            known[tally.source] = tally
            kept.write(json.dumps(asdict(tally)) + "\n")
            kept.flush()
    text = table([known[name] for name in SOURCES if name in known])
    sys.stdout.write(text)
    if given.write:
        _RESULTS.write_text(text)
    return 1 if any(one.failed for one in known.values()) else 0


def _known() -> dict[str, Tally]:
    lines = _TALLIES.read_text().splitlines() if _TALLIES.exists() else []
    tallies = [Tally(**json.loads(line)) for line in lines]
    return {one.source: one for one in tallies}


def table(tallies: Iterable[Tally]) -> str:
    """The tables of readers and of what their files were made from, and each file that failed, by its number."""
    found = sorted(tallies, key=lambda one: SOURCES[one.source].reader)
    longer = f"one of more than {FULL_SPEED_MIB} MiB in as much more time as it is larger"
    law = f"each file is read within {WITHIN_S:.0f} s of processor time ({longer}) and {MOST_MIB} MiB of memory, or is refused with an error for clients"
    lines = [
        "# Hostile files, read within limits",
        "",
        f"`make fuzz`: {law}. Anything else has failed. Of the refused ones some ended the process that read them, by a crash in a library or",
        "at the limit of memory; the service reads each upload in a process of its own, and refuses such a file by name.",
        "",
        "| reader | files | read | refused | of these ended | failed | slowest s | peak MiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    readers = dict.fromkeys(SOURCES[one.source].reader for one in found)
    lines += [_row(reader, [one for one in found if SOURCES[one.source].reader == reader]) for reader in readers]
    lines += [
        _row("**all**", found),
        "",
        "| reader | made from | files | read | refused | of these ended | failed | slowest s | peak MiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(f"{SOURCES[one.source].reader} | {one.source}", [one]) for one in found),
    ]
    lines += _requests()
    failed = [f"- {one.source} {number}: {why}" for one in found for number, why in one.failed.items()]
    return "\n".join([*lines, *(["", *failed] if failed else [])]) + "\n"


def _requests() -> Iterator[str]:
    """What was asked of the API in each phase, where that was kept."""
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(_REQUESTS.glob("*.json"))}
    if not reports:
        return
    yield from (
        "",
        "## Requests to the API",
        "",
        "| phase of schemathesis | operations | requests | failed |",
        "|---|---:|---:|---:|",
    )
    for phase, report in reports.items():
        cases, operations = report["test_cases"], report["operations"]
        yield f"| {phase} | {operations['tested']} of {operations['total']} | {cases['generated']:,} | {cases['with_failures']:,} |"
    asked, failed = (
        sum(one["test_cases"][name] for one in reports.values()) for name in ("generated", "with_failures")
    )
    yield f"| **all** | | {asked:,} | {failed:,} |"


def _row(name: str, tallies: list[Tally]) -> str:
    read, refused, ended = (sum(one) for one in zip(*((t.read, t.refused, t.ended) for t in tallies), strict=True))
    failed = sum(len(one.failed) for one in tallies)
    slowest, peak = max(one.slowest_s for one in tallies), max(one.peak_mib for one in tallies)
    return f"| {name} | {read + refused + failed:,} | {read:,} | {refused:,} | {ended:,} | {failed:,} | {slowest:.1f} | {peak:,.0f} |"


if __name__ == "__main__":
    sys.exit(main())
