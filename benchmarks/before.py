"""Default jobs beside the same jobs of an earlier commit: seconds, and planted errors found.

    python -m benchmarks.before [--commit REF] [--rows 2000] [--seeds 1] [--threads 1] [SET ...]

Both versions run as a user runs them, `suspects up` with one worker, and get the same files with 10 % of the labels made
wrong, in turns: a set to one, then to the other, so that what else the machine does falls upon both. Nothing else is chosen. A first
small job of each is not counted. The time of a job is that from the upload to its end; `found` is the average precision of the planted
labels by `mislabeled`. The earlier commit runs with the packages that are installed now.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.data import EMBEDDINGS, TABLES, TEXTS, scratch, upload
from benchmarks.result_sections import write_sections
from benchmarks.whole_stack import ROOT, whole_stack

RESULTS = Path(__file__).parent / "results"
# The last commit before trees, gradients written by hand and fused kernels.
BEFORE = "79f6355^"
SETS = (*TABLES, "mnist", "trec", *EMBEDDINGS)
_WARM_UP = "phoneme"
_PHASES = ("training_s", "scoring_s")


@dataclass(frozen=True)
class Timed:
    """One job: seconds from the upload to its end, to its first ranking (None without one), of its phases, and the average precision."""

    seconds: float
    first: float | None
    training: float
    scoring: float
    found: float


@contextmanager
def stack(tree: Path, threads: int) -> Iterator[httpx.Client]:
    """The embedded stack of a checkout, with one worker of so many threads."""
    with (
        whole_stack(scratch(), tree, {"SUSPECTS_THREADS": str(threads)}) as (url, _),
        httpx.Client(base_url=url, timeout=600, trust_env=False) as client,
    ):
        yield client


def run(client: httpx.Client, name: str, rows: int, seed: int) -> Timed:
    """Submit a set and wait for the end of its job. Raises RuntimeError where it fails."""
    source, dataset = upload(name, rows, scratch(), seed)
    spec = {
        "dataset": dataset.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        "glitches": [{"kind": "mislabeled_uniform", "rate": 0.1, "seed": seed}],
    }
    began = time.perf_counter()
    sent = client.post("/jobs", files={"file": (source.name, source.read_bytes())}, data={"spec": json.dumps(spec)})
    if not sent.is_success:
        raise RuntimeError(f"{name}: {sent.text}")
    job_id, first = sent.json()["id"], None
    while True:
        job = client.get(f"/jobs/{job_id}").raise_for_status().json()
        if first is None and job["result"] is not None and job["state"] != "completed":
            first = time.perf_counter() - began
        if job["state"] in {"completed", "failed", "cancelled"}:
            break
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    if job["state"] != "completed":
        raise RuntimeError(f"{name}: {job['state']}: {job['error']}")
    signals = client.get(f"/jobs/{job_id}/signals").raise_for_status().json()["items"]
    (found,) = (one["detection"]["average_precision"] for one in signals if one["name"] == "mislabeled")
    training, scoring = (job["result"]["timings"].get(phase, 0) for phase in _PHASES)
    return Timed(seconds, first, training, scoring, found)


def compare(
    names: Sequence[str], commit: str, rows: int, seeds: int, threads: int
) -> dict[str, tuple[list[Timed], list[Timed]]]:
    """The jobs of each set, before and now, one for each seed."""
    found: dict[str, tuple[list[Timed], list[Timed]]] = {}
    with ExitStack() as running:
        versions = [
            running.enter_context(stack(tree, threads)) for tree in (running.enter_context(_checkout(commit)), ROOT)
        ]
        for client in versions:
            run(client, _WARM_UP, 300, 0)
        for name in names:
            jobs = [[run(client, name, rows, seed) for client in versions] for seed in range(seeds)]
            found[name] = ([pair[0] for pair in jobs], [pair[1] for pair in jobs])
            sys.stdout.write(_row(name, *found[name]) + "\n")
            sys.stdout.flush()
    return found


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    folder = scratch() / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(folder), commit], check=True, capture_output=True)  # noqa: S603 - git, on this repository
    # The page is made at installation; the earlier one is not looked at.
    (folder / "service" / "web" / "built").symlink_to(ROOT / "service" / "web" / "built")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True, capture_output=True)  # noqa: S603 - git, on this repository


def _row(name: str, before: Sequence[Timed], now: Sequence[Timed]) -> str:
    def mean(jobs: Sequence[Timed], what: str) -> float:
        return statistics.mean(float(getattr(one, what)) for one in jobs)

    times = [(mean(before, what), mean(now, what)) for what in ("seconds", "training", "scoring")]
    shown = " | ".join(f"{old:.1f} → {new:.1f} ({old / max(new, 1e-3):.1f} x)" for old, new in times)
    old, new = mean(before, "found"), mean(now, "found")
    firsts = [one.first for one in now if one.first is not None]
    first = f"{statistics.mean(firsts):.1f}" if firsts else "-"
    return f"| {name} | {shown} | {first} | {old:.3f} → {new:.3f} ({new - old:+.3f}) |"


def main() -> None:
    """Run both versions and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default=BEFORE, help="the earlier version")
    parser.add_argument("--rows", type=int, default=2_000, help="largest number of rows of each set")
    parser.add_argument("--seeds", type=int, default=1, help="jobs of each set")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker")
    parser.add_argument("sets", nargs="*", default=SETS, metavar="SET", help=", ".join((*SETS, *TEXTS)))
    asked = parser.parse_args()
    found = compare(asked.sets, asked.commit, asked.rows, asked.seeds, asked.threads)
    changes = [
        statistics.mean(one.found for one in now) - statistics.mean(one.found for one in before)
        for before, now in found.values()
    ]
    lines = [
        "| set | whole job, s | training, s | scoring, s | first ranking now, s | AP of the planted labels |",
        "|---|---|---|---|---|---|",
        *(_row(name, *pair) for name, pair in found.items()),
        "",
        f"- Mean change of AP: {statistics.mean(changes):+.3f}; largest fall {min(changes):+.3f}.",
        f"- Before is the commit `{asked.commit}`; {asked.seeds} job(s) a set and version; the times of one file to both versions follow each other.",
    ]
    heading = f"{asked.rows:,} rows a set, 10 % wrong labels, {asked.threads} thread(s)"
    write_sections(RESULTS / "before.md", "Default jobs before and after the work on speed", {heading: lines})


if __name__ == "__main__":
    main()
