"""Ranked tasks, and the predictions that are written for them."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.errors import Conflict
from service.ingest.identities import identities
from service.platforms.label_studio import Control, choices_result, task_number
from service.services import Services
from service.store import evidence, rankings, reviews
from service.store.jobs import Job
from service.store.rankings import Row

_FLAGGED = frozenset({"mislabeled", "anomalous"})
_DECIDED = frozenset({"keep", "relabel", "remove"})


@dataclass(frozen=True)
class RankedTask:
    """One task. `score` decreases strictly from task to task, so that a tool that sorts by it keeps the order of ties.

    `position` is its row in the dataset. `decided`: a review says whether its label is right.
    """

    task: int
    position: int
    given: str
    suggested: str
    score: float
    flagged: bool
    decided: bool


def model_version(job_id: str) -> str:
    """Name of the model version of a job's predictions."""
    return f"suspects-{job_id}"


def ranked_tasks(services: Services, job: Job) -> list[RankedTask]:
    """All ranked tasks, most suspicious first; a task with several samples counts as its most suspicious one.

    Raises Conflict for a job with planted errors: its suggestions are not about the tasks' own labels.
    """
    if job.spec.glitches:
        raise Conflict("this job planted errors itself; its suggestions are not about your labels", members=_PLANTED)
    found: dict[int, RankedTask] = {}
    last = math.inf
    with services.database.read() as connection:
        held = reviews.latest(connection, job.id)
        decided = {name for name, review in held.items() if review.decision in _DECIDED}
        columns = services.open_rankings.get(connection, services.blobs, job.id).columns
        order = columns.order(connection, job.id, "mislabeled")
        for chunk in rankings.in_order(connection, job.id, columns, order):
            for row in chunk:
                task = task_number(row["sample_id"])
                if task is not None and task not in found:
                    last = min(float(row["mislabeled"]), math.nextafter(last, -math.inf))
                    found[task] = _ranked(task, row, last, decided)
    return list(found.values())


_PLANTED = {"state": "planted"}


def _ranked(task: int, row: Row, score: float, decided: Collection[str]) -> RankedTask:
    return RankedTask(
        task=task,
        position=row["position"],
        given=row["given_label"],
        suggested=row["suggested_label"],
        score=score,
        flagged=row["verdict"] in _FLAGGED,
        decided=row["sample_id"] in decided,
    )


def prediction(one: RankedTask, control: Control, version: str) -> dict[str, Any]:
    """The prediction of a task, as Label Studio takes it."""
    return {
        "task": one.task,
        "result": choices_result(control, one.suggested),
        "score": one.score,
        "model_version": version,
    }


def predictions_digest(predictions: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of predictions in hexadecimal."""
    return hashlib.sha256(json.dumps(list(predictions)).encode()).hexdigest()


def influential_tasks(
    services: Services, job: Job, wanted: Sequence[RankedTask], present: Collection[int]
) -> dict[int, list[int]]:
    """By task: the reference tasks with the most negative, then with the most positive influence of the task.

    Empty when the reference is another dataset.
    """
    folder = services.blobs.evidence(job.id)
    known = {one.task: evidence.load(folder, one.position) for one in wanted}
    places = {
        task: [each.position for each in (*found.opposing, *found.supporting)]
        for task, found in known.items()
        if found is not None and found.reference_dataset == job.dataset_id
    }
    every = sorted({place for some in places.values() for place in some})
    if not every:
        return {}
    tasks = dict(zip(every, _tasks(services, job, every), strict=True))
    return {
        task: list(dict.fromkeys(tasks[place] for place in some if tasks[place] in present and tasks[place] != task))
        for task, some in places.items()
    }


def _tasks(services: Services, job: Job, positions: Sequence[int]) -> list[int]:
    return [task_number(who.id) or 0 for who in identities(services.blobs.canonical(job.dataset_id), positions)]
