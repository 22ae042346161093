"""How many clients one process of the API serves that list suspects at once.

    python -m benchmarks.load [--rows 100000] [--clients 200] [--requests 2000] [--databases sqlite postgresql] [--as after]

Each client keeps a connection of its own and asks again as soon as it is answered. A completed job over many rows is written as
a worker writes it, with every signal; 100 of its samples are reviewed. Processor time is that of all threads of the API and of
the database server, from the kernel's scheduler: what a busy machine changes least. "One core" is what that allows.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
from rich.console import Console

from benchmarks.processors import database_seconds, processor_seconds
from benchmarks.ranked_job import database_of, fill, review_some, served
from service.domain.signal import SIGNALS
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database

RESULTS = Path(__file__).parent / "results"
REVIEWED = 100
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_TOLD = ("p50", "p99", "per_second", "cpu", "database_cpu", "one_core", "errors")
_HEADS = (
    "p50 ms",
    "p99 ms",
    "requests/s",
    "processor ms a request",
    "of the database",
    "requests/s, one core",
    "errors",
)


@dataclass(frozen=True)
class Mix:
    """What all clients ask for: `place` gives the offset of the n-th request."""

    name: str
    query: Mapping[str, object]
    place: Callable[[int], int] = lambda _: 0
    headers: Mapping[str, str] = field(default_factory=dict)


def mixes(rows: int) -> list[Mix]:
    """Lists of 50 suspects."""
    return [
        Mix("50 suspects, every signal", {}),
        Mix("50 suspects, one signal", {"signals": "mislabeled"}),
        Mix("with verdict=mislabeled", {"verdict": "mislabeled"}),
        Mix("with label, certainty and not reviewed", {"label": "class d", "min_confidence": 0.5, "reviewed": False}),
        Mix("every page another, 10,000 rows", {}, lambda n: 50 * (n * 7 % 200)),
        Mix("every page another, all rows", {}, lambda n: 50 * (n * 7919 % (rows // 50))),
        Mix("compressed", {}, headers={"Accept-Encoding": "gzip"}),
    ]


async def one_client(url: str, mix: Mix, numbers: list[int], tag: str) -> list[tuple[float, int]]:
    """Milliseconds and status of each answer, over one connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    found = []
    known = {"If-None-Match": tag} if tag else {}
    headers = {"Host": parts.netloc, "Accept": "application/json", **mix.headers, **known}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    try:
        while numbers:
            query = urlencode({**mix.query, "offset": mix.place(numbers.pop())}).replace("False", "false")
            began = time.perf_counter()
            writer.write(f"GET /jobs/job_1/suspects?{query} HTTP/1.1\r\n{head}\r\n".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = answer.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            found.append(((time.perf_counter() - began) * 1e3, int(answer.split(" ", 2)[1])))
    finally:
        writer.close()
    return found


async def _all(url: str, mix: Mix, clients: int, requests: int, tag: str) -> list[tuple[float, int]]:
    numbers = list(range(requests))
    taken = await asyncio.gather(*(one_client(url, mix, numbers, tag) for _ in range(clients)))
    return [one for some in taken for one in some]


def measure_mix(
    url: str, pid: int, database: Callable[[], float], mix: Mix, clients: int, requests: int, tag: str = ""
) -> dict[str, float]:
    """Costs of one mix."""
    asyncio.run(_all(url, mix, 2, 10, tag))
    own, others, began = processor_seconds(pid), database(), time.perf_counter()
    taken = asyncio.run(_all(url, mix, clients, requests, tag))
    passed = time.perf_counter() - began
    cpu, database_cpu = (
        (now - then) / len(taken) * 1e3 for now, then in ((processor_seconds(pid), own), (database(), others))
    )
    clock = [ms for ms, _ in taken]
    return {
        "p50": float(np.percentile(clock, 50)),
        "p99": float(np.percentile(clock, 99)),
        "per_second": len(taken) / passed,
        "cpu": cpu,
        "database_cpu": database_cpu,
        "one_core": 1e3 / (cpu + database_cpu),
        "errors": float(sum(status not in (200, 304) for _, status in taken)),
    }


def measure(kind: str, rows: int, clients: int, requests: int, home: Path) -> dict[str, dict[str, float]]:
    """Costs of every mix on one database."""
    home.mkdir(parents=True)
    found = {}
    with ExitStack() as stack:
        url = stack.enter_context(database_of(kind, home))
        migrate(url)
        database = open_database(url)
        fill(database, Blobs(home), rows, signals=list(SIGNALS), mixed_ids=True)
        database.close()
        address, pid = stack.enter_context(served(home, url))
        with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
            review_some(client, REVIEWED)
            tag = client.get("/jobs/job_1/suspects?offset=0").raise_for_status().headers.get("ETag", "")
        spent = database_seconds(kind, url)
        asked = mixes(rows)
        for mix in asked:
            found[mix.name] = measure_mix(address, pid, spent, mix, clients, requests)
            print(f"{mix.name:40} {found[mix.name]}", flush=True)
        if tag:
            name = f"{asked[0].name}, known to the client (304)"
            found[name] = measure_mix(address, pid, spent, asked[0], clients, requests, tag)
            print(f"{name:40} {found[name]}", flush=True)
    return found


def table(kind: str, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The section about one database: what was before beside what is now."""
    lines = [f"## {_NAMES[kind]}", "", "| asked for | " + " | ".join(_HEADS) + " |", "|---" * (len(_HEADS) + 1) + "|"]
    before, now = known.get("before", {}), known.get("after", {})
    for name in now or before:
        cells = []
        for key in _TOLD:
            both = [one[name][key] for one in (before, now) if name in one]
            cells.append(" → ".join(f"{value:,.2f}" if 0 < value < 10 else f"{value:,.0f}" for value in both))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main() -> None:
    """Measure on each database, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--databases", nargs="+", choices=list(_NAMES), default=list(_NAMES))
    parser.add_argument("--as", dest="moment", choices=["before", "after"], default="after")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / "load.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for kind in arguments.databases:
        with tempfile.TemporaryDirectory(prefix="suspects-load-") as name:
            found = measure(kind, arguments.rows, arguments.clients, arguments.requests, Path(name) / kind)
        known.setdefault(kind, {})[arguments.moment] = found
        kept.write_text(json.dumps(known, indent=1) + "\n")
    title = f"# {arguments.clients} clients list suspects of {arguments.rows:,} with {len(SIGNALS)} signals, {os.cpu_count()} cores"
    lines = [title, ""]
    for kind, moments in known.items():
        lines += table(kind, moments)
    (RESULTS / "load.md").write_text("\n".join(lines).rstrip() + "\n")
    Console(width=180).print("\n".join(lines))


if __name__ == "__main__":
    main()
