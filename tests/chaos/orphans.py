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
    found += _of_jobs(work, states)
    caches = [{one.relative_to(home).as_posix() for one in home.rglob("*")} for home in work.stack.homes.values()]
    found += _units(work.stack.names().union(*caches), states, known)
    for home in sorted(set(work.stack.homes.values())):
        found += _unfinished(home)
    return found


def _of_jobs(work: Workload, states: dict[str, str]) -> Iterator[str]:
    for job_id, state in states.items():
        if state not in ENDED:
            continue
        names = work.names_of(job_id)
        usual = work.files[work.kind_of(job_id).name] if job_id in work.submitted else names
        if state == State.COMPLETED:
            yield from (f"file jobs/{job_id}/{one}" for one in sorted(names - usual))
            yield from (f"missing file jobs/{job_id}/{one}" for one in sorted(usual - names))


def _units(names: set[str], states: dict[str, str], known: set[str]) -> Iterator[str]:
    for kind, named in (("jobs", set(states)), ("datasets", known), ("networks", set[str]())):
        found = {one.split("/")[1] for one in names if one.startswith(f"{kind}/")}
        yield from (f"folder {kind}/{one}" for one in sorted(found - named))


_UNFINISHED = (
    *(
        "datasets/**/*.part",
        "datasets/**/.ingest-*",
        "features/*.part",
        "features/*/*.part",
        "uploads/*",
        "cache/*.part*",
    ),
    *("jobs/*/scratch-*", "jobs/*/shared", "jobs/*/*.part", "jobs/*/checkpoints/*.part"),
)


def _unfinished(home: Path) -> Iterator[str]:
    for pattern in _UNFINISHED:
        yield from (f"unfinished {one.relative_to(home)}" for one in sorted(home.glob(pattern)))


def _rows(connection: sa.Connection, states: dict[str, str], known: set[str], work: Workload) -> Iterator[str]:
    for table in metadata.sorted_tables:
        if "job_id" in table.c:
            named = set(connection.execute(sa.select(table.c.job_id)).scalars()) - {None}
            yield from (f"row {table.name} of {job_id}" for job_id in sorted(named - set(states)))
    used = connection.execute(sa.select(jobs.c.id, jobs.c.dataset_id))
    yield from (f"row jobs {job_id} of {dataset}" for job_id, dataset in used if dataset not in known)
    names = work.stack.names()
    yield from (
        f"row datasets {one} without its file" for one in sorted(known) if f"datasets/{one}/data.parquet" not in names
    )
    ranked = connection.execute(sa.select(suspects.c.job_id).distinct()).scalars()
    unfinished = [job_id for job_id in ranked if states.get(job_id) != State.COMPLETED]
    yield from (f"row suspects of {job_id}, which has not completed" for job_id in unfinished)
