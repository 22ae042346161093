"""`make chaos`: long campaigns on SQLite, on PostgreSQL, and on PostgreSQL with S3, two at a time; writes benchmarks/results/chaos.md."""

import argparse
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.campaign import run
from tests.chaos.hosts import move_to_own_space
from tests.chaos.stack import LEASE_S
from tests.chaos.table import Outcome, by_phase, markdown

_PLACES = ["sqlite", "postgresql", "s3"]
_AT_ONCE = 2  # three disturb each other on a machine of two cores
_RESULTS = Path("benchmarks/results/chaos.md")


def main() -> int:
    """Run the campaigns. The exit code is 1 where one was not clean, struck less often than asked, or compared no ranking."""
    arguments = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    arguments.add_argument("--faults", type=int, default=220, help="number of faults, over all installations")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument(
        "--on", choices=_PLACES, action="append", help="installation, s3 on PostgreSQL; each time one more campaign"
    )
    arguments.add_argument("--workers", type=int, default=3, help="worker processes of each installation")
    arguments.add_argument("--tables", type=int, default=3, help="kinds of jobs over tables")
    arguments.add_argument("--only", action="append", default=[], help="name of a fault")
    arguments.add_argument("--write", action="store_true", help=f"write {_RESULTS}")
    given = arguments.parse_args()
    places = given.on or _PLACES
    each = -(-given.faults // len(places))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(_run, place, each, given.seed + number, given) for number, place in enumerate(places)]
        outcomes = [job.result() for job in jobs]
    text = report(outcomes, given.seed)
    sys.stdout.write(text)
    if given.write:
        _RESULTS.write_text(text)
    return 0 if all(one.is_clean() and one.compared and len(one.strikes) >= each for one in outcomes) else 1


def _run(place: str, count: int, seed: int, given: argparse.Namespace) -> Outcome:
    try:
        outcome = run(place, count, seed, workers=given.workers, tables=given.tables, names=given.only)
    except BaseException:
        traceback.print_exc()  # at once: the other campaign may go on for long
        raise
    sys.stderr.write("\n".join(_told(outcome)) + "\n")
    return outcome


def report(outcomes: list[Outcome], seed: int) -> str:
    """The table with what it needs to be understood."""
    injected, compared = sum(len(one.strikes) for one in outcomes), sum(one.compared for one in outcomes)
    facts = (
        f"`make chaos`: {injected} faults, seed {seed}, lease {LEASE_S:.0f} s; {compared} rankings compared bit for bit "
        "with those of undisturbed jobs."
    )
    parts = [
        "# Faults injected into a running installation",
        facts,
        markdown(outcomes),
        by_phase(outcomes),
    ]
    for one in outcomes:
        parts += _told(one)
    return "\n\n".join(parts) + "\n"


def _told(one: Outcome) -> list[str]:
    """What no table says of a campaign."""
    told = [f"lost {job}: {why}" for job, why in one.lost.items()] + [f"wrong {job}" for job in sorted(one.wrong)]
    told += [f"orphan {left}" for left in one.orphans] + [f"left out: {why}" for why in one.left_out]
    told += [f"{strike.fault}, {strike.phase}: {strike.broken}" for strike in one.strikes if strike.broken]
    told += [f"the campaign ended early: {one.ended_early}"] if one.ended_early else []
    return [f"On {one.installation}: {len(one.strikes)} faults.", *(f"- {line}" for line in told)]


if __name__ == "__main__":
    move_to_own_space()
    sys.exit(main())
