"""What a machine learning backend of Label Studio is asked: which version a project is at, and what it says of tasks.

Proved against 1.23: of several results for one task all are stored, so an empty list stores none and is asked for
again; a class that the label config lacks spoils the whole answer; tasks that carry the version already are not sent.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from service.domain.label_studio import Prediction, PredictRequest
from service.domain.specs import Loop
from service.label_studio.backend.unseen import Sample, ask
from service.label_studio.projects import control_of
from service.label_studio.push.ranked import model_version
from service.label_studio.push.review_project import origin_of
from service.platforms.annotations import Annotation, winning_labels
from service.platforms.label_studio import Control, choices_result, read_annotations, task_input
from service.services import Services
from service.store import jobs, loops, pulls, rankings
from service.store.jobs import Job
from service.store.pulls import Pull
from service.store.rankings import Row

_NONE = "suspects"  # stands for a version as long as there is no job
_VERSIONS = 100
_QUIET_S = 2.0  # after which a burst of requests to train is over

log = structlog.get_logger()


@dataclass(frozen=True)
class Standing:
    """The job that answers for a project. `reviews`: the project is that of its suspects."""

    job: Job
    pull: Pull
    reviews: bool


def version_of(services: Services, connection_id: str, project: int) -> str:
    """Under which name the predictions of a project are."""
    found = _standing(services, connection_id, project)
    return _NONE if found is None else model_version(found.job.id)


def versions(services: Services, connection_id: str) -> list[str]:
    """Of all projects, the newest first."""
    with services.database.read() as connection:
        found = pulls.completed(connection, connection_id)
    return [model_version(one.job_id) for one in found[:_VERSIONS]]


def predict(services: Services, connection_id: str, question: PredictRequest) -> list[Prediction | list[Prediction]]:
    """What is known of each task: of ranked ones from the ranking, of others from the model. Raises Invalid.

    Nothing is said of tasks that the model cannot be asked about in time.
    """
    deadline = time.monotonic() + services.settings.answer_seconds
    standing = _standing(services, connection_id, question.number)
    if standing is None:
        return [[] for _ in question.tasks]
    control = control_of(question.label_config, standing.pull.from_name)
    teller = _Teller(services, standing, control)
    found = teller.ranked(question.tasks)
    unseen = [place for place, one in enumerate(found) if one is None]
    guesses = dict(zip(unseen, teller.guessed([question.tasks[place] for place in unseen], deadline), strict=True))
    return [(guesses[place] or []) if one is None else one for place, one in enumerate(found)]


def train_again(services: Services, connection_id: str, project: int) -> bool:
    """Run the newest completed job of a project again, over the tasks as they are by then; False when one does already.

    The pauses of the job's own loop hold, where it has one.
    """
    standing = _standing(services, connection_id, project)
    if standing is None:
        log.info("nothing to train again", connection=connection_id, project=project)
        return False
    loop = Loop(after=1, quiet_seconds=_QUIET_S, cool_down_seconds=0)
    with services.database.write() as connection:
        asked = loops.request_rerun(connection, standing.job.id, services.now(), loop, afresh=True)
    log.info("to be run again" if asked else "run again already", job=standing.job.id)
    return asked


def _standing(services: Services, connection_id: str, project: int) -> Standing | None:
    with services.database.read() as connection:
        mine = pulls.completed(connection, connection_id)
        pushed = pulls.get_pushes(connection, [one.job_id for one in mine])
        for one in mine:
            reviews = one.job_id in pushed and pushed[one.job_id].review_project == project
            job = jobs.get(connection, one.job_id) if one.project == project or reviews else None
            if job is not None and not job.spec.glitches:
                return Standing(job, one, reviews)
    return None


class _Teller:
    """One question's answers."""

    def __init__(self, services: Services, standing: Standing, control: Control) -> None:
        self._here, self._standing, self._control = services, standing, control
        self._version = model_version(standing.job.id)

    def ranked(self, tasks: Sequence[Mapping[str, Any]]) -> list[Prediction | list[Prediction] | None]:
        """What the ranking says, of a task with several samples that of the most suspicious one; None: it is not there."""
        names = [self._names(task) for task in tasks]
        with self._here.database.read() as connection:
            rows = rankings.rows_by_id(connection, self._standing.job.id, [name for some in names for name in some])
        found: list[Prediction | list[Prediction] | None] = []
        for some in names:
            there = [rows[name] for name in some if name in rows]
            found.append(self._stored(max(there, key=lambda row: float(row["mislabeled"]))) if there else None)
        return found

    def _names(self, task: Mapping[str, Any]) -> list[str]:
        """What the samples of a task may be called."""
        number = origin_of(task) if self._standing.reviews else task.get("id")
        if not isinstance(number, int):
            return []
        if self._standing.pull.policy != "all":
            return [str(number)]
        return [f"{number}:{one.get('id')}" for one in task.get("annotations") or () if isinstance(one, dict)]

    def _stored(self, row: Row) -> Prediction | list[Prediction]:
        if row["suggested_label"] not in self._control.classes:
            return []
        return self._said(row["suggested_label"], row["suggested_confidence"], row["mislabeled"])

    def guessed(self, tasks: Sequence[Mapping[str, Any]], deadline: float) -> list[Prediction | None]:
        """What the model says; None where it was not asked or did not answer."""
        values = [task_input(task, self._control) for task in tasks]
        places = [place for place, value in enumerate(values) if value is not None]
        found: list[Prediction | None] = [None] * len(tasks)
        if not places:
            return found
        samples = [Sample(_number(tasks[place].get("id")), values[place]) for place in places]
        told = ask(self._here, self._standing.job, self._standing.pull, samples, deadline)
        for place, probable in zip(places, told, strict=True):
            if probable is not None:
                found[place] = self._guess(tasks[place], probable)
        return found

    def _guess(self, task: Mapping[str, Any], probable: Mapping[str, float]) -> Prediction | None:
        writable = {name: share for name, share in probable.items() if name in self._control.classes}
        if not writable:
            return None
        label = max(writable, key=lambda name: writable[name])
        labelled = [one for one in read_annotations(task, self._control) if isinstance(one, Annotation)]
        given = winning_labels(labelled, self._standing.pull.policy) if labelled else []
        doubt = 1 - probable.get(given[0], 0.0) if len(given) == 1 else None
        return self._said(label, writable[label], doubt)

    def _said(self, label: str, confidence: float, score: float | None) -> Prediction:
        items = [{**item, "score": confidence} for item in choices_result(self._control, label)]
        return Prediction(result=items, score=score, model_version=self._version)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
