"""What changed lately: cheap looks at the store for streams of events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.domain.job import ACTIVE
from service.store import chains
from service.store.tables import datasets, jobs
from service.store.tables import reviews as reviews_table


def review_numbers(connection: sa.Connection, job_id: str) -> dict[str, int]:
    """The number of the latest review in each list of a job's chain, by job: one look at an index each."""
    return chains.last_reviews(connection, job_id)


def reviewed_since(
    connection: sa.Connection, numbers: Mapping[str, int], seen: Mapping[str, int], limit: int
) -> list[str]:
    """Samples with a review after the numbers `seen`, up to `numbers`, by job; each once, at most `limit`."""
    new: sa.ColumnElement[bool] = sa.false()
    for job_id, number in numbers.items():
        new |= (reviews_table.c.job_id == job_id) & reviews_table.c.seq.between(seen.get(job_id, 0) + 1, number)
    wanted = sa.select(reviews_table.c.sample_id).where(new).distinct().limit(limit)
    return list(connection.execute(wanted).scalars())


@dataclass(frozen=True)
class Overview:
    """Every job with its state, progress while it is active, and number of reviews; every dataset; the project of each."""

    jobs: Mapping[str, tuple[str, Any, int]]
    datasets: frozenset[str]
    projects: Mapping[str, str]


def overview(connection: sa.Connection) -> Overview:
    """One look: three statements, whose cost grows with the jobs and datasets, not with samples or reviews."""
    active = jobs.c.state.in_(ACTIVE)
    last = sa.select(sa.func.max(reviews_table.c.seq)).where(reviews_table.c.job_id == jobs.c.id).scalar_subquery()
    rows = connection.execute(
        sa.select(
            jobs.c.id, jobs.c.state, sa.case((active, jobs.c.progress)), sa.func.coalesce(last, 0), jobs.c.project
        )
    )
    found, projects = {}, {}
    for job_id, state, progress, number, project in rows:
        found[job_id], projects[job_id] = (state, progress, number), project
    known = {row.id: row.project for row in connection.execute(sa.select(datasets.c.id, datasets.c.project))}
    return Overview(found, frozenset(known), projects | known)


def changes(before: Overview, now: Overview) -> Sequence[dict[str, Any]]:
    """What differs between two looks: one entry for each job and dataset, with its `project`."""
    found: list[dict[str, Any]] = []
    for job_id, told in now.jobs.items():
        known = before.jobs.get(job_id)
        if known != told:
            what = [
                name
                for name, place in (("state", 0), ("progress", 1), ("reviews", 2))
                if known is not None and known[place] != told[place]
            ]
            found.append({"kind": "job", "id": job_id, "state": told[0], "changed": what or ["appeared"]})
    found += [{"kind": "job", "id": job_id, "changed": ["gone"]} for job_id in before.jobs.keys() - now.jobs.keys()]
    found += [{"kind": "dataset", "id": name, "changed": ["appeared"]} for name in now.datasets - before.datasets]
    found += [{"kind": "dataset", "id": name, "changed": ["gone"]} for name in before.datasets - now.datasets]
    projects = {**before.projects, **now.projects}
    return [{**one, "project": projects[one["id"]]} for one in found]
