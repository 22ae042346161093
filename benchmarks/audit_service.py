"""Audits through the API of a running service, by a scripted reviewer who knows every label.

A worker ranks each set once. Every run is an audit of a job of its own over the same data, into which that ranking is written as a
worker writes it, so that its reviews are the first. What the service tells after each review is compared with what the engine tells
when the log of the database is replayed.
"""

import csv
import gzip
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray

from benchmarks import embeddings
from benchmarks.audit_runs import BATCH, LEVEL, REVIEWS
from benchmarks.data import DATA, chosen_rows
from benchmarks.processors import processor_seconds
from benchmarks.ranked_job import database_of, fill, served
from service.audit.log import Log
from service.audit.measure import Answer, Measured, measure
from service.domain.job import Progress, State
from service.domain.signal import HEADLINES
from service.settings import Settings
from service.store import audits, jobs, rankings
from service.store.blobs import Blobs
from service.store.engine import Database, migrate, open_database
from service.store.tables import suspects
from tests.builders import LEASE
from usual_suspects import Client, Job
from usual_suspects.client.models import Audit
from worker.job.context import WorkerContext
from worker.job.tasks import claim_next, run
from worker.machine.devices import CPU

SETS = ("satimage, uniform", "yoruba_minilm, weak labels")
ROWS, RATE, LEARNING_RATE = 2_000, 0.1, 0.02
LIMIT_MS = 50
_DRAWS, _ASKED = 1_000, 50
Array = NDArray[Any]


@dataclass(frozen=True)
class KnownSet:
    """What is uploaded, how it is read, and by the place in the upload the given label and the right one."""

    data: Any
    labels: Any
    options: Mapping[str, Any]
    given: Array
    right: Array


@dataclass(frozen=True)
class Moment:
    """What the service told after a review, and what the engine tells by the same log."""

    told: Audit
    replayed: Measured

    @property
    def is_equal(self) -> bool:
        """Whether all numbers are the same."""
        wrong, mine = self.told.wrong, self.replayed
        told = (self.told.found, self.told.reviewed.drawn, wrong.low, wrong.high, wrong.at_most)
        return told == (mine.found, mine.drawn, mine.low, mine.high, mine.at_most) and wrong.estimate == mine.estimate


@dataclass(frozen=True)
class ServedRun:
    """One audit of all its moments; `samples` and `truth` are those that the job ranked."""

    samples: int
    truth: int
    moments: Sequence[Moment]

    @property
    def values(self) -> dict[str, float]:
        """What the table shows."""
        last = self.moments[-1].told
        holds = [one.told.wrong.low <= self.truth <= one.told.wrong.high for one in self.moments]
        return {
            "always": all(holds),
            "bound_always": all(self.truth <= one.told.wrong.at_most for one in self.moments),
            "end": holds[-1],
            "width": last.wrong.high - last.wrong.low,
            "found": last.found,
            "differ": sum(not one.is_equal for one in self.moments),
        }


def known_set(name: str) -> KnownSet:
    """A set by its name in SETS, as a team has it, and its right labels."""
    if name.startswith("yoruba"):
        x, weak, right = embeddings.yoruba(DATA)
        return KnownSet(x, weak, {"modality": "embedding"}, weak, right)
    with gzip.open(DATA / "tabular" / "satimage.csv.gz", "rt") as file:
        lines = list(csv.DictReader(file))
    rows = [lines[row] for row in chosen_rows(len(lines), ROWS, 0)]
    right = np.array([row.pop("target") for row in rows])
    random, given = np.random.default_rng(0), right.copy()
    for row in random.permutation(len(right))[: round(RATE * len(right))]:
        given[row] = random.choice(np.setdiff1d(right, right[row]))
    table = pa.table({name: np.array([float(row[name]) for row in rows]) for name in rows[0]})
    return KnownSet(
        table.append_column("target", pa.array(given)), None, {"label": "target", "model": "mlp"}, given, right
    )


@contextmanager
def _service(home: Path) -> Iterator[tuple[Client, int, Database, str]]:
    with database_of("sqlite", home) as url:
        migrate(url)
        database = open_database(url)
        try:
            with served(home, url) as (address, pid), Client(address) as client:
                yield client, pid, database, url
        finally:
            database.close()


def served_runs(name: str, runs: int, home: Path) -> list[ServedRun]:
    """Audits of one set."""
    home.mkdir(parents=True)
    known = known_set(name)
    with _service(home) as (client, _, database, url):
        # Any ranking serves, so that no learning rate is looked for.
        first = client.submit(
            known.data, known.labels, name="run 0", training={"learning_rate": LEARNING_RATE}, **known.options
        )
        settings = Settings(home=home, database_url=url)
        context = WorkerContext(settings, database, Blobs(home), CPU, lambda: False)
        claim = claim_next("benchmark", context)
        if claim is None:
            raise RuntimeError(f"{first.id} does not wait")
        run(claim, context)
        ranked = _ranked(database, first.refresh().id)
        others = (client.submit(first.dataset.id, name=f"run {number}") for number in range(1, runs))
        found = []
        for number, job in enumerate((first, *others)):
            if number:
                _write_ranking(database, Blobs(home), first.id, job.id, ranked)
            found.append(_audited(job.refresh(), known, database, ranked.column("index").to_numpy()))
            print(name, number, found[-1].values, flush=True)
    return found


def _ranked(database: Database, job_id: str) -> pa.Table:
    with database.read() as connection:
        rows = connection.execute(sa.select(suspects).where(suspects.c.job_id == job_id).order_by(suspects.c.index))
        return pa.Table.from_pylist([dict(row) for row in rows.mappings()]).drop_columns("job_id")


def _write_ranking(database: Database, blobs: Blobs, first: str, job_id: str, table: pa.Table) -> None:
    now = datetime.now(UTC)
    shutil.copytree(blobs.ranking(first), blobs.ranking(job_id))
    with database.write() as connection:
        done, held = jobs.get(connection, first), jobs.claim(connection, job_id, "benchmark", LEASE, now)
        if done is None or done.result is None or held is None:
            raise RuntimeError(f"{first} is not ranked, or {job_id} is not to be claimed")
        for state in (State.TRAINING, State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.5), now)
        jobs.complete(connection, held, done.result, now)
        rankings.save(connection, job_id, table)
        rankings.save_summaries(connection, job_id, rankings.summaries(connection, first))


def _audited(job: Job, known: KnownSet, database: Database, index: Array) -> ServedRun:
    """One audit; `index` has the places in the upload of the samples that are ranked, ascending."""
    reviewed: list[int] = []
    told: list[Audit] = []
    is_wrong = known.given != known.right
    for _ in range(REVIEWS // BATCH):
        for item in job.draw(BATCH):
            place = item.sample.index
            decision = ("relabel", str(known.right[place])) if is_wrong[place] else ("keep", None)
            job.review(item.sample_id, *decision)
            reviewed.append(place)
            told.append(job.audit(level=LEVEL))
    with database.read() as connection:
        places, bins, is_drawn = audits.entries_after(connection, job.id, 0)
        models = [one.model for one in audits.models_after(connection, job.id, 0)]
    rows, answers = np.searchsorted(index, places), np.full(len(index), Answer.NONE, np.int8)
    moments = []
    for number, audit in enumerate(told):
        place = reviewed[number]
        answers[np.searchsorted(index, place)] = Answer.WRONG if is_wrong[place] else Answer.RIGHT
        end = (number // BATCH + 1) * BATCH  # of the log at that moment
        log = Log(rows[:end], bins[:end], is_drawn[:end], [one for one in models if one.first < end])
        moments.append(Moment(audit, measure(log, answers, LEVEL)))
    return ServedRun(len(index), int(is_wrong[index].sum()), moments)


def served_table(runs: Mapping[str, Sequence[ServedRun]]) -> list[str]:
    """A line for each set."""
    lines = [
        (
            f"| set | runs | samples | wrong | holds at all {REVIEWS} moments | bound, likewise | holds at the end | width | wrong labels found "
            "| moments with other numbers than the replayed log |"
        ),
        "|---" * 10 + "|",
    ]
    for name, several in runs.items():
        values = [one.values for one in several]
        shares = " | ".join(f"{mean(one[key] for one in values):.3f}" for key in ("always", "bound_always", "end"))
        width, found = (mean(one[key] for one in values) for key in ("width", "found"))
        moments = sum(len(one.moments) for one in several)
        lines.append(
            f"| {name} | {len(several)} | {several[0].samples:,} | {several[0].truth} | {shares} | {width:.0f} | {found:.0f} "
            f"| {sum(one['differ'] for one in values):.0f} of {moments:,} |"
        )
    least = min(len(several) for several in runs.values())
    error = (LEVEL * (1 - LEVEL) / least) ** 0.5
    return [*lines, "", f"Monte Carlo error (one standard error) of a share of .95 in {least} runs: {error:.3f}."]


def answer_times(rows: int, home: Path) -> str:
    """What the service computes for `GET /jobs/{id}/audit` after a review of a large job."""
    home.mkdir(parents=True)
    with _service(home) as (client, pid, database, _):
        fill(database, Blobs(home), rows, signals=HEADLINES)
        job, random, times = client.job("job_1"), np.random.default_rng(0), []
        for turn in range((_DRAWS + _ASKED) // BATCH):
            for item in job.draw(BATCH):
                job.review(item.sample_id, "remove" if random.random() < 0.05 else "keep")
                if turn >= _DRAWS // BATCH:
                    began = processor_seconds(pid)
                    job.audit()
                    times.append(1e3 * (processor_seconds(pid) - began))
    kept = "kept" if max(times) < LIMIT_MS else "not kept"
    return (
        f"`GET /jobs/{{id}}/audit` after each of {len(times)} reviews, from {_DRAWS:,} draws of {rows:,} samples on: {median(times):.0f} ms of computing "
        f"by the service, median, {max(times):.0f} ms at most (less than {LIMIT_MS} ms: {kept}). The database is SQLite, in the same process."
    )
