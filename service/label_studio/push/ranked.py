"""A ranking seen as tasks: what is written of each, and which of the others bear on it."""

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
class Ranked:
    """One task. `score` falls strictly from task to task, so that a tool that sorts by it keeps our order of ties.

    `decided`: somebody has said what is right of it.
    """

    task: int
    position: int
    given: str
    suggested: str
    score: float
    flagged: bool
    decided: bool


def model_version(job_id: str) -> str:
    """Under which name a job's predictions are in the tool."""
    return f"suspects-{job_id}"


def ranked(services: Services, job: Job) -> list[Ranked]:
    """Every ranked task, most suspicious first; of a task with several samples the most suspicious one.

    Raises Conflict for a job that planted errors: what it suggests is not about the tasks as they are.
    """
    if job.spec.glitches:
        raise Conflict("this job planted errors itself; its suggestions are not about your labels", members=_PLANTED)
    found: dict[int, Ranked] = {}
    last = math.inf
    with services.database.read() as connection:
        held = reviews.latest(connection, job.id)
        decided = {name for name, review in held.items() if review.decision in _DECIDED}
        for chunk in rankings.stream(connection, job.id, rankings.Query()):
            for row in chunk:
                task = task_number(row["sample_id"])
                if task is not None and task not in found:
                    last = min(float(row["mislabeled"]), math.nextafter(last, -math.inf))
                    found[task] = _ranked(task, row, last, decided)
    return list(found.values())


_PLANTED = {"state": "planted"}


def _ranked(task: int, row: Row, score: float, decided: Collection[str]) -> Ranked:
    return Ranked(
        task=task,
        position=row["position"],
        given=row["given_label"],
        suggested=row["suggested_label"],
        score=score,
        flagged=row["verdict"] in _FLAGGED,
        decided=row["sample_id"] in decided,
    )


def prediction(one: Ranked, control: Control, version: str) -> dict[str, Any]:
    """What is written of a task."""
    return {
        "task": one.task,
        "result": choices_result(control, one.suggested),
        "score": one.score,
        "model_version": version,
    }


def digest(predictions: Sequence[Mapping[str, Any]]) -> str:
    """The same predictions have the same digest."""
    return hashlib.sha256(json.dumps(list(predictions)).encode()).hexdigest()


def neighbours(
    services: Services, job: Job, wanted: Sequence[Ranked], present: Collection[int]
) -> dict[int, list[int]]:
    """The tasks that a task hurt most and then those that it helped most, by task; where the tasks themselves served.

    With a reference of another dataset there are none.
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
