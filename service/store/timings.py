"""Timings of completed jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from service.domain.job import State
from service.domain.specs import JobSpec
from service.store.projects import visible
from service.store.tables import datasets, jobs


@dataclass(frozen=True)
class TimedJob:
    """A completed job: what it did, over how much, and the seconds of each phase."""

    spec: JobSpec
    modality: str
    samples: int
    features: int
    classes: int
    timings: Mapping[str, float]
    elapsed: float
    finished_at: datetime


def last_timed(connection: sa.Connection, model: str, limit: int) -> Sequence[TimedJob]:
    """The completed jobs of a model that were submitted last and begun once: the training of others was timed in part."""
    result, info = jobs.c.result, datasets.c.info
    wanted = (
        sa.select(
            jobs.c.spec,
            info["modality"].as_string().label("modality"),
            result["samples"].as_integer().label("samples"),
            sa.func.json_array_length(info["features"]).label("features"),
            sa.func.json_array_length(info["classes"]).label("classes"),
            result["timings"].label("timings"),
            jobs.c.started_at,
            jobs.c.finished_at,
        )
        .join(datasets, datasets.c.id == jobs.c.dataset_id)
        .where(jobs.c.state == State.COMPLETED, jobs.c.attempts == 1, visible(connection, jobs))
        .where(jobs.c.spec[("model", "name")].as_string() == model)
        .order_by(jobs.c.created_at.desc())
        .limit(limit)
    )
    return [
        TimedJob(
            spec=JobSpec.model_validate(row.spec),
            modality=row.modality,
            samples=row.samples,
            features=row.features,
            classes=row.classes,
            timings=row.timings,
            elapsed=(row.finished_at - row.started_at).total_seconds(),
            finished_at=row.finished_at,
        )
        for row in connection.execute(wanted)
    ]
