"""What nothing names: files without a row, and rows without what they name. Found without the code that collects them."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from service.domain.job import ENDED, State
from service.store.tables import datasets, jobs, metadata, suspects
from tests.chaos.workload import Workload


def orphans(work: Workload) -> list[str]:
    """Each orphan in words, first those of jobs."""
    with work.stack.database.read() as connection:
        states = {row[0]: row[1] for row in connection.execute(sa.select(jobs.c.id, jobs.c.state))}
        known = set(connection.execute(sa.select(datasets.c.id)).scalars())
        found = [*_rows(connection, states, known, work)]
    return [*found, *_of_jobs(work, states), *_others(work.stack.settings.home, states, known)]


def _of_jobs(work: Workload, states: dict[str, str]) -> Iterator[str]:
    for job_id, state in states.items():
        if state not in ENDED:
            continue
        names = work.names_of(job_id)
        usual = work.files[work.kind_of(job_id).name] if job_id in work.submitted else names
        if state == State.COMPLETED:
            yield from (f"file jobs/{job_id}/{one}" for one in sorted(names - usual))
            yield from (f"missing file jobs/{job_id}/{one}" for one in sorted(usual - names))


def _others(home: Path, states: dict[str, str], known: set[str]) -> Iterator[str]:
    for kind, named in (("jobs", set(states)), ("datasets", known), ("networks", set[str]())):
        for one in sorted((home / kind).glob("*")):
            if one.name not in named:
                yield f"folder {kind}/{one.name}"
    unfinished = ("datasets/**/*.part", "datasets/**/.ingest-*", "features/*.part", "features/*/*.part", "uploads/*")
    for pattern in unfinished:
        for one in sorted(home.glob(pattern)):
            yield f"unfinished {one.relative_to(home)}"


def _rows(connection: sa.Connection, states: dict[str, str], known: set[str], work: Workload) -> Iterator[str]:
    for table in metadata.sorted_tables:
        if "job_id" in table.c:
            named = set(connection.execute(sa.select(table.c.job_id)).scalars()) - {None}
            yield from (f"row {table.name} of {job_id}" for job_id in sorted(named - set(states)))
    used = connection.execute(sa.select(jobs.c.id, jobs.c.dataset_id))
    yield from (f"row jobs {job_id} of {dataset}" for job_id, dataset in used if dataset not in known)
    there = work.stack.blobs.canonical
    yield from (f"row datasets {one} without its file" for one in sorted(known) if not there(one).exists())
    ranked = connection.execute(sa.select(suspects.c.job_id).distinct()).scalars()
    unfinished = [job_id for job_id in ranked if states.get(job_id) != State.COMPLETED]
    yield from (f"row suspects of {job_id}, which has not completed" for job_id in unfinished)
