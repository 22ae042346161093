"""Whether memory grows while a service is used for an hour: `suspects up` under readers, a reviewer, and a job every half minute.

    python -m benchmarks.soak [--minutes 60]

Four readers ask for what the page asks for, each four times a second; a reviewer writes five decisions every two seconds; a new
dataset is uploaded and ranked every 30 seconds, and the oldest of 20 jobs is deleted with its dataset. Memory is the proportional
set size, in which pages that processes share count once, of all processes of a part. Pages of mapped files are told apart: they
are the kernel's copy of the database and of libraries, and it takes them back when memory is short. A slope is that of a straight
line through what was measured every 15 seconds after the first ten minutes. A run of an hour or more is written to the results.
"""

import argparse
import asyncio
import io
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]  # it has no types of its own
from rich.console import Console

from benchmarks.whole_stack import whole_stack

RESULTS = Path(__file__).parent / "results"
_ROWS, _COLUMNS, _WRONG = 1000, 10, 50
_READERS, _PAUSE_S = 4, 0.25
_WEIGHTS = (4, 8, 16, 8, 16, 4, 1, 1)  # of what readers ask for
_REVIEW_S, _DECISIONS = 2.0, 5
_JOB_S, _KEPT = 30.0, 20
_MEASURE_S = 15.0
_WARM_S = 600.0
_PARTS = {"service.main": "API", "celery": "worker", "valkey-server": "broker"}
_GONE = (404, 409)  # a job that was deleted meanwhile, or has no ranking yet


@dataclass
class Soak:
    """What happened so far.

    `memory` has, of each part, the seconds since the beginning, the MiB of its own and those of mapped files.
    """

    began: float = field(default_factory=time.monotonic)
    jobs: list[tuple[str, str]] = field(default_factory=list)  # job and dataset
    drawn: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    completed: int = 0
    memory: dict[str, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began


async def _ask(
    soak: Soak, client: httpx.AsyncClient, what: str, method: str, path: str, **options: Any
) -> httpx.Response | None:
    began = time.perf_counter()
    try:
        answer = await client.request(method, path, **options)
    except httpx.HTTPError as error:
        soak.errors.append(f"{what}: {type(error).__name__}")
        return None
    soak.ms[what].append((time.perf_counter() - began) * 1e3)
    if answer.is_error and answer.status_code not in _GONE:
        soak.errors.append(f"{what}: {answer.status_code}")
    return answer if answer.is_success else None


async def _read(soak: Soak, client: httpx.AsyncClient) -> None:
    job, dataset = soak.jobs[soak.drawn.integers(len(soak.jobs))]
    place = soak.drawn.integers(_ROWS - 50)
    asked = {
        "jobs": "/jobs",
        "job": f"/jobs/{job}",
        "suspects": f"/jobs/{job}/suspects?limit=50&offset={place}",
        "suspects of a label": f"/jobs/{job}/suspects?label=c1&verdict=mislabeled",
        "sample": f"/jobs/{job}/samples/r{place}",
        "dataset": f"/datasets/{dataset}",
        "report": f"/jobs/{job}/report",
        "export": f"/jobs/{job}/suspects?format=csv",
    }
    what = str(soak.drawn.choice(list(asked), p=np.array(_WEIGHTS) / sum(_WEIGHTS)))
    await _ask(soak, client, what, "GET", asked[what])
    await asyncio.sleep(_PAUSE_S)


async def _review(soak: Soak, client: httpx.AsyncClient) -> None:
    job, _ = soak.jobs[soak.drawn.integers(len(soak.jobs))]
    rows = soak.drawn.choice(_ROWS, _DECISIONS, replace=False)
    decisions = [{"sample_id": f"r{row}", "decision": "keep", "reviewer": "soak"} for row in rows]
    await _ask(soak, client, "review", "POST", f"/jobs/{job}/reviews", json=decisions)
    await asyncio.sleep(_REVIEW_S)


def _table(seed: int) -> bytes:
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, 3, _ROWS)
    values = drawn.normal(size=(_ROWS, _COLUMNS)) + 2 * np.eye(3, _COLUMNS)[labels]
    wrong = drawn.choice(_ROWS, _WRONG, replace=False)
    labels[wrong] = (labels[wrong] + 1) % 3
    text = io.StringIO("")
    text.write("id," + ",".join(f"x{column}" for column in range(_COLUMNS)) + ",label\n")
    for row in range(_ROWS):
        text.write(f"r{row}," + ",".join(f"{value:.5f}" for value in values[row]) + f",c{labels[row]}\n")
    return text.getvalue().encode()


async def _submit(soak: Soak, client: httpx.AsyncClient, seed: int) -> None:
    began = time.monotonic()
    made = await _ask(soak, client, "submit", "POST", "/jobs", files={"file": (f"soak{seed}.csv", _table(seed))})
    if made is not None:
        job = made.json()
        while job["state"] not in {"completed", "failed"} and time.monotonic() - began < 300:
            await asyncio.sleep(0.5)
            seen = await _ask(soak, client, "job", "GET", f"/jobs/{job['id']}")
            job = job if seen is None else seen.json()
        if job["state"] == "completed":
            soak.completed += 1
            soak.jobs.append((job["id"], job["dataset"]["id"]))
        else:
            soak.errors.append(f"job: {job['state']}")
    while len(soak.jobs) > _KEPT:
        old, dataset = soak.jobs.pop(0)
        await _ask(soak, client, "delete", "DELETE", f"/jobs/{old}")
        await _ask(soak, client, "delete", "DELETE", f"/datasets/{dataset}")
    await asyncio.sleep(max(0.0, _JOB_S - (time.monotonic() - began)))


def _measure(soak: Soak, stack: psutil.Process) -> None:
    sums: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for process in [stack, *stack.children(recursive=True)]:
        try:
            command = " ".join(process.cmdline())
            own, mapped = _memory_of(process.pid)
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            continue
        part = next((name for word, name in _PARTS.items() if word in command), "suspects up")
        sums[part] = (sums[part][0] + own, sums[part][1] + mapped)
    for part, (own, mapped) in sums.items():
        soak.memory[part].append((soak.elapsed, own, mapped))


def _memory_of(pid: int) -> tuple[float, float]:
    """MiB of a process's own pages and of mapped files, shared ones in proportion."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return (kib["Pss_Anon"] + kib["Pss_Shmem"]) / 1024, kib["Pss_File"] / 1024


async def _until(soak: Soak, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while soak.elapsed < seconds:
        await work()


async def _use(soak: Soak, url: str, stack: psutil.Process, seconds: float) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        seeds = itertools.count()
        await _submit(soak, client, next(seeds))

        async def measure() -> None:
            await asyncio.to_thread(_measure, soak, stack)
            await asyncio.sleep(_MEASURE_S)

        await asyncio.gather(
            *(_until(soak, seconds, lambda: _read(soak, client)) for _ in range(_READERS)),
            _until(soak, seconds, lambda: _review(soak, client)),
            _until(soak, seconds, lambda: _submit(soak, client, next(seeds))),
            _until(soak, seconds, measure),
        )


def lines(soak: Soak) -> list[str]:
    """The report, in Markdown."""
    warm = min(_WARM_S, soak.elapsed / 2)
    found = [
        "| part | MiB at the beginning | MiB at the end | most | slope, MiB an hour | mapped files, MiB at the end | their slope |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for part, measured in sorted(soak.memory.items()):
        at, own, mapped = np.array(measured).T
        late = at >= warm
        slope, slope_mapped = (np.polyfit(at[late], values[late], 1)[0] * 3600 for values in (own, mapped))
        found.append(
            f"| {part} | {own[late][0]:.0f} | {own[-1]:.0f} | {own.max():.0f} | {slope:+.1f} | {mapped[-1]:.0f} | {slope_mapped:+.1f} |"
        )
    found += ["", "| request | number | p50 ms | p99 ms |", "|---|---:|---:|---:|"]
    for what, taken in sorted(soak.ms.items()):
        found.append(f"| {what} | {len(taken)} | {np.percentile(taken, 50):.0f} | {np.percentile(taken, 99):.0f} |")
    number = sum(map(len, soak.ms.values()))
    found += [
        "",
        f"{number:,} requests, {soak.completed} jobs completed, {len(soak.errors)} errors in {soak.elapsed / 60:.0f} minutes.",
    ]
    return found + [f"- {error}" for error in sorted(set(soak.errors))]


def main() -> None:
    """Run it, print what was found and write it to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    soak = Soak()
    with tempfile.TemporaryDirectory() as home, whole_stack(Path(home)) as (url, number):
        asyncio.run(_use(soak, url, psutil.Process(number), minutes * 60))
    report = lines(soak)
    if minutes >= 60:  # a shorter run tells too little of a slope
        (RESULTS / "soak.md").write_text("# An hour's use\n\n" + "\n".join(report) + "\n")
    Console().print("\n".join(report))


if __name__ == "__main__":
    main()
