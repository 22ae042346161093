"""What each question to the API costs over a million ranked rows with every signal, on SQLite and on PostgreSQL.

    python -m benchmarks.queries [--rows 1000000] [--databases sqlite postgresql] [--as after]

A job is written as a worker writes it, 10,000 of its samples are reviewed, and an audit is begun. The service runs in a process
of its own. Each question is asked over HTTP some dozens of times, with other places and samples each time where it has any.
Processor time is that of the service and of the database server, which a busy machine changes less than the clock.

What the database did is counted apart, in this process: rows that PostgreSQL read (EXPLAIN ANALYZE of every statement), and
thousands of steps of SQLite's virtual machine. `--as before` keeps the numbers as those to compare with.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import sqlalchemy as sa
from rich.console import Console

from benchmarks.processors import database_seconds, processor_seconds
from benchmarks.ranked_job import ABSENT, CLASSES, database_of, fill, review_some, served
from service.domain.signal import SIGNALS
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database

RESULTS = Path(__file__).parent / "results"
REVIEWED = 10_000
_SPENT, _MOST = 1.0, 50  # processor seconds and repetitions of each question
_EXPLAINED = (
    "Before → now. The clock is that of a machine on which other programs ran; processor time says what a question costs. Where the "
    "first answer took more than a second of processors, it alone was measured; else it is left out. - : not counted."
)
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """One question to the API; `asked` gives path and parameters of its n-th repetition. A stream is read to its first rows."""

    name: str
    asked: Callable[[int], tuple[str, Parameters]]
    is_stream: bool = False


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one question by the clock and of processors, and what the database examined for it."""

    p50: float
    p99: float
    cpu: float
    database_cpu: float
    statements: int
    examined: float
    scans: list[str]


def questions(rows: int, ids: list[str]) -> list[Question]:
    """Every question. `ids` are those of some samples from anywhere in the ranking."""

    def listed(name: str, **parameters: Any) -> Question:
        return Question(name, lambda n: ("/jobs/job_1/suspects", {**parameters, "offset": _place(parameters, n)}))

    def fixed(name: str, path: str, **parameters: Any) -> Question:
        return Question(name, lambda _: (path, parameters))

    def sample(path: str) -> Callable[[int], tuple[str, Parameters]]:
        return lambda n: (f"{path}/{ids[n % len(ids)]}", {})

    few: Parameters = {"signals": "mislabeled", "limit": 50}
    return [
        listed("page at rank 0, all signals"),
        listed("page at rank 0, one signal", **few),
        listed("page at rank 1,000", **few, offset=1_000),
        listed("page at rank 900,000", **few, offset=rows * 9 // 10),
        listed("200 rows", signals="mislabeled", limit=200),
        listed("given label", **few, label=CLASSES[3]),
        listed("given label, rank 50,000", **few, label=CLASSES[3], offset=rows // 20),
        fixed("label that no row has", "/jobs/job_1/suspects", **few, label=ABSENT),
        listed("suggested label", **few, suggested=CLASSES[5]),
        listed("both labels", **few, label=CLASSES[7], suggested=CLASSES[8]),
        listed("verdict", **few, verdict="mislabeled"),
        listed("labels differ", **few, disagrees=True),
        listed("not reviewed", **few, reviewed=False),
        listed("decision", **few, decision="keep"),
        listed("part of an id", **few, q="9e3"),
        listed("certainty", **few, min_confidence=0.95),
        listed("score", **few, min_score=0.5),
        listed("region of the map", **few, region="pca:0,0;1,0;1,1;0,1"),
        listed("part of a label", **few, label=CLASSES[3], part="tighter"),
        listed("by a signal without an index", **few, by="aai"),
        listed("by the same, one label", **few, by="aai", label=CLASSES[3]),
        listed("by a signal with long ties, score", **few, by="slip", min_score=0.5),
        listed(
            "everything at once",
            **few,
            label=CLASSES[7],
            disagrees=True,
            min_confidence=0.5,
            reviewed=False,
            q="7",
        ),
        Question(
            "50 named samples",
            lambda n: ("/jobs/job_1/suspects", {**few, "ids": ",".join(ids[n % 10 :][:50])}),
        ),
        Question("one sample with all its ranks", sample("/jobs/job_1/samples")),
        Question("one row of the dataset", sample("/datasets/ds_1/samples")),
        listed_rows(rows),
        fixed("the job", "/jobs/job_1"),
        fixed("jobs", "/jobs"),
        fixed("lineage", "/jobs/job_1/lineage"),
        fixed("datasets", "/datasets"),
        fixed("events of the job", "/jobs/job_1/events"),
        fixed("signals", "/jobs/job_1/signals"),
        fixed("groups", "/jobs/job_1/groups"),
        fixed("samples to verify next", "/jobs/job_1/verify-next", count=50),
        fixed("map, 2,000 points", "/jobs/job_1/map", limit=2_000),
        fixed("cut-offs", "/jobs/job_1/cut-offs"),
        fixed("cut-offs by a signal with long ties", "/jobs/job_1/cut-offs", by="slip"),
        fixed("classes", "/jobs/job_1/classes"),
        fixed("confusion", "/jobs/job_1/confusion"),
        fixed("confusion of one verdict", "/jobs/job_1/confusion", verdict="mislabeled"),
        fixed("reviews", "/jobs/job_1/reviews"),
        Question("reviews of one sample", lambda n: ("/jobs/job_1/reviews", {"sample_id": ids[n % len(ids)]})),
        fixed("summary of reviews", "/jobs/job_1/reviews/summary"),
        fixed("audit", "/jobs/job_1/audit"),
        fixed("audit by label, top 50 and 200", "/jobs/job_1/audit", by="label", top="50,200"),
        fixed("certificate", "/jobs/job_1/audit/certificate"),
        fixed("comparison with another job", "/jobs/job_1/diff", other="job_2"),
        fixed("report", "/jobs/job_1/report"),
        *(
            replace(fixed(f"first bytes of {form}", "/jobs/job_1/suspects", format=form), is_stream=True)
            for form in ("csv", "jsonl", "parquet")
        ),
        replace(
            fixed("first bytes of csv, one label", "/jobs/job_1/suspects", format="csv", label=CLASSES[3]),
            is_stream=True,
        ),
    ]


def listed_rows(rows: int) -> Question:
    """Rows of the dataset in short, from all over it."""
    return Question("rows of the dataset", lambda n: ("/datasets/ds_1/samples", {"offset": n * 977 % (rows - 50)}))


def _place(parameters: Mapping[str, Any], n: int) -> int:
    return int(parameters.get("offset", 0)) + 50 * (n % 7)


def prepare(client: httpx.Client, rows: int) -> list[str]:
    """Reviews and an audit; ids of samples from all over the ranking."""
    review_some(client, min(REVIEWED, rows // 10))
    client.post("/jobs/job_1/audit/draws", json={"count": 50}).raise_for_status()
    asked: Parameters = {"signals": "mislabeled", "limit": 10}
    places = np.linspace(0, rows - 10, 10).astype(int).tolist()
    pages = [client.get("/jobs/job_1/suspects", params={**asked, "offset": place}) for place in places]
    return [one["sample"]["id"] for page in pages for one in page.raise_for_status().json()["items"]]


def ask(client: httpx.Client, question: Question, n: int) -> None:
    """Ask once. Raises httpx.HTTPError."""
    path, parameters = question.asked(n)
    if not question.is_stream:
        client.get(path, params=parameters).raise_for_status()
        return
    with client.stream("GET", path, params=parameters) as answer:
        answer.raise_for_status()
        pieces = answer.iter_raw()
        next(pieces)
        if parameters.get("format") == "csv":
            # Its head is sent before anything was read.
            next(pieces, None)


def timed(client: httpx.Client, question: Question, pid: int, database: Callable[[], float]) -> dict[str, float]:
    """Milliseconds by the clock and of processors. The first answer does not count, unless it takes seconds."""

    def once(n: int) -> tuple[float, float, float]:
        own, others, start = processor_seconds(pid), database(), time.perf_counter()
        ask(client, question, n)
        taken = time.perf_counter() - start
        return taken, processor_seconds(pid) - own, database() - others

    taken = [once(0)]
    if sum(taken[0][1:]) < _SPENT:
        taken = [once(1)]
        while len(taken) < _MOST and sum(own + others for _, own, others in taken) < _SPENT:
            taken.append(once(len(taken) + 1))
    clock, own, others = (1e3 * np.array(column) for column in zip(*taken, strict=True))
    return {
        "p50": float(np.percentile(clock, 50)),
        "p99": float(np.percentile(clock, 99)),
        "cpu": float(own.mean()),
        "database_cpu": float(others.mean()),
    }


class Examined:
    """Counts what a database does for the questions that this process asks itself."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self._kind = engine, engine.dialect.name
        self._statements: list[tuple[str, Any]] = []
        self._steps = 0
        sa.event.listen(engine, "before_cursor_execute", self._noted)
        if self._kind == "sqlite":
            sa.event.listen(engine, "connect", self._counting)

    def of(self, ask_once: Callable[[], object]) -> dict[str, Any]:
        """Statements, rows or thousands of steps, and the tables that were read from end to end."""
        self._statements, self._steps = [], 0
        ask_once()
        statements, steps = self._statements, self._steps
        examined, scans = float(steps), set[str]()
        for text, values in statements:
            if text.lstrip().upper().startswith(("SELECT", "WITH")):
                rows, found = self._explained(text, values)
                examined += rows
                scans |= found
        return {"statements": len(statements), "examined": examined, "scans": sorted(scans)}

    def _noted(self, _connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: Any) -> None:
        self._statements.append((statement, values))

    def _counting(self, connection: Any, _record: Any) -> None:
        connection.set_progress_handler(self._step, 1_000)

    def _step(self) -> int:
        self._steps += 1
        return 0

    def _explained(self, text: str, values: Any) -> tuple[float, set[str]]:
        with self._engine.connect() as connection:
            if self._kind == "sqlite":
                steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
                return 0, {f"scan of {row[3].split()[1]}" for row in steps if row[3].startswith("SCAN suspects")}
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values).scalar_one()
            return _read_rows(plan[0]["Plan"])


def _read_rows(node: Mapping[str, Any]) -> tuple[float, set[str]]:
    rows, scans = 0.0, set[str]()
    if "Relation Name" in node:
        kept = node["Actual Rows"] + sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        rows = kept * node["Actual Loops"]
        if node["Relation Name"] == "suspects" and (node["Node Type"] == "Seq Scan" or rows > 20_000):
            scans.add(f"{node['Node Type']} of suspects")
    for part in node.get("Plans", ()):
        further, found = _read_rows(part)
        rows, scans = rows + further, scans | found
    return rows, scans


@contextmanager
def _inside(home: Path, url: str) -> Iterator[tuple[Examined, Callable[[Question], object]]]:
    """The service within this process, to look at the statements it sends."""
    app = create_app(Settings(home=home, database_url=url, broker_url="redis://127.0.0.1:1/0"))
    services: Services = app.state.services
    examined = Examined(services.database.engine)

    async def answer(question: Question) -> None:
        path, parameters = question.asked(0)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            (await client.get(path, params=parameters)).raise_for_status()

    yield examined, lambda question: asyncio.run(answer(question))
    services.database.close()


def measure(kind: str, rows: int, home: Path) -> dict[str, Any]:
    """The costs of every question on one database, and of the recording."""
    home.mkdir(parents=True)
    with ExitStack() as stack:
        url = stack.enter_context(database_of(kind, home))
        migrate(url)
        database, blobs = open_database(url), Blobs(home)
        first = fill(database, blobs, rows, signals=list(SIGNALS), mixed_ids=True)
        fill(database, blobs, rows // 10, number=2, signals=list(SIGNALS), mixed_ids=True)
        recording = {
            "table_seconds": first.table_seconds,
            "columns_seconds": first.columns_seconds,
            "table_megabytes": _table_bytes(database.engine, home) / 2**20,
            "columns_megabytes": sum(file.stat().st_size for file in blobs.ranking("job_1").iterdir()) / 2**20,
        }
        database.close()
        costs: dict[str, dict[str, Any]] = {}
        with ExitStack() as service:
            address, pid = service.enter_context(served(home, url))
            client = service.enter_context(
                httpx.Client(base_url=address, trust_env=False, timeout=300, headers={"Accept-Encoding": "identity"})
            )
            ids = prepare(client, rows)
            asked = questions(rows, ids)
            spent = database_seconds(kind, url)
            for question in asked:
                costs[question.name] = timed(client, question, pid, spent)
                print(f"{question.name:40} {costs[question.name]}", flush=True)
        with _inside(home, url) as (examined, answer):
            for question in asked:
                found: dict[str, Any] = {"statements": 0, "examined": 0.0, "scans": []}
                if not question.is_stream:
                    found = examined.of(partial(answer, question))
                costs[question.name] = asdict(Cost(**costs[question.name], **found))
    return {"recording": recording, "costs": costs, "load": os.getloadavg()[0]}


def _table_bytes(engine: sa.Engine, home: Path) -> float:
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return (home / "suspects.db").stat().st_size
    with engine.connect() as connection:
        return float(connection.exec_driver_sql("SELECT pg_total_relation_size('suspects')").scalar_one())


def table(kind: str, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The section of the results about one database: what was before beside what is now."""
    now, before = known.get("after", {}), known.get("before", {})
    unit = "thousand steps" if kind == "sqlite" else "rows read"
    lines = [f"## {_NAMES[kind]}", ""]
    for name, one in (("Before", before), ("Now", now)):
        if "recording" in one:
            told = one["recording"]
            text = (
                f"{name}: the table was written in {told['table_seconds']:.0f} s and takes {told['table_megabytes']:,.0f} MB "
                f"with the rows of the second job, the columns {told['columns_seconds']:.0f} s and "
                f"{told['columns_megabytes']:,.0f} MB. Load of the machine at the end: {one['load']:.1f}."
            )
            lines += [text, ""]
    heads = ("p50 ms", "p99 ms", "processor ms", "statements", unit)
    lines += ["| question | " + " | ".join(heads) + " | read from end to end |", "|---" * (len(heads) + 2) + "|"]
    then, here = before.get("costs", {}), now.get("costs", {})
    for name in here or then:
        lines.append(f"| {name} | " + " | ".join([*_cells(then.get(name), here.get(name))]) + " |")
    return [*lines, ""]


def _cells(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterable[str]:
    def shown(one: Mapping[str, Any] | None) -> list[str]:
        if one is None:
            return ["-"] * 6
        cpu = one["cpu"] + one["database_cpu"]
        numbers = [f"{value:,.1f}" if value < 10 else f"{value:,.0f}" for value in (one["p50"], one["p99"], cpu)]
        if "statements" not in one:
            return [*numbers, *["-"] * 3]
        return [*numbers, f"{one['statements']}", f"{one['examined']:,.0f}", ", ".join(one["scans"]) or "-"]

    return (
        was if was == new or now is None else new if before is None else f"{was} → {new}"
        for was, new in zip(shown(before), shown(now), strict=True)
    )


def main() -> None:
    """Measure on each database, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", choices=list(_NAMES), default=list(_NAMES))
    parser.add_argument("--as", dest="moment", choices=["before", "after"], default="after")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / "queries.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for kind in arguments.databases:
        with tempfile.TemporaryDirectory(prefix="suspects-queries-") as name:
            found = measure(kind, arguments.rows, Path(name) / kind)
        known.setdefault(kind, {})[arguments.moment] = found
        kept.write_text(json.dumps(known, indent=1) + "\n")
    signals, cores = len(SIGNALS), os.cpu_count()
    lines = [f"# every question over {arguments.rows:,} ranked rows with {signals} signals, {cores} cores", ""]
    lines += [_EXPLAINED, ""]
    for kind, moments in known.items():
        lines += table(kind, moments)
    (RESULTS / "queries.md").write_text("\n".join(lines).rstrip() + "\n")
    Console(width=200).print("\n".join(lines))


if __name__ == "__main__":
    main()
