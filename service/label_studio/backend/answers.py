"""Answers to the requests that Label Studio sends to a machine learning backend: model versions and predictions.

Tested with 1.23: it stores all results for one task, so an empty list stores none and the task is sent again; a class
that is not in the label config makes the whole answer invalid; tasks with predictions of the version are not sent.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from service.domain.confidence import shown_confidence
from service.domain.label_studio import Prediction, PredictRequest
from service.domain.specs import Loop
from service.label_studio.backend.ask_worker import UnseenTask, ask_worker
from service.label_studio.projects import read_control
from service.label_studio.push.predictions import model_version
from service.label_studio.push.review_project import origin_task
from service.platforms.annotations import Annotation, winning_labels
from service.platforms.label_studio import Control, choices_result, read_annotations, task_input
from service.services import Services
from service.store import jobs, loops, pulls, rankings
from service.store.jobs import Job
from service.store.pulls import Pull
from service.store.rankings import Row

_NO_VERSION = "suspects"  # as long as there is no job
_VERSIONS = 100
_QUIET_S = 2.0  # pause after which a burst of training requests has ended

log = structlog.get_logger()


@dataclass(frozen=True)
class AnsweringJob:
    """The job whose model answers for a project. `reviews`: the project is the job's review project."""

    job: Job
    pull: Pull
    reviews: bool


def version_of(services: Services, connection_id: str, project: int) -> str:
    """Model version of a project's predictions."""
    found = _standing(services, connection_id, project)
    return _NO_VERSION if found is None else model_version(found.job.id)


def versions(services: Services, connection_id: str) -> list[str]:
    """Model versions of all projects over a connection, newest first, at most 100."""
    with services.database.read() as connection:
        found = pulls.completed(connection, connection_id)
    return [model_version(one.job_id) for one in found[:_VERSIONS]]


def predict(services: Services, connection_id: str, question: PredictRequest) -> list[Prediction | list[Prediction]]:
    """A prediction for each task: from the ranking for ranked tasks, else from the model. Raises Invalid.

    The list of a task is empty when the model does not answer within SUSPECTS_ANSWER_SECONDS.
    """
    deadline = time.monotonic() + services.settings.answer_seconds
    standing = _standing(services, connection_id, question.number)
    if standing is None:
        return [[] for _ in question.tasks]
    control = read_control(question.label_config, standing.pull.from_name)
    predictor = _Predictor(services, standing, control)
    found = predictor.ranked(question.tasks)
    unseen = [place for place, one in enumerate(found) if one is None]
    predicted = dict(
        zip(unseen, predictor.predicted([question.tasks[place] for place in unseen], deadline), strict=True)
    )
    return [(predicted[place] or []) if one is None else one for place, one in enumerate(found)]


def train_again(services: Services, connection_id: str, project: int) -> bool:
    """Request that a project's newest completed job runs again with the present tasks; False when it does already.

    The pauses of the job's own loop apply, if it has one.
    """
    standing = _standing(services, connection_id, project)
    if standing is None:
        log.info("nothing to train again", connection=connection_id, project=project)
        return False
    loop = Loop(after=1, quiet_seconds=_QUIET_S, cool_down_seconds=0)
    with services.database.write() as connection:
        asked = loops.request_rerun(connection, standing.job.id, services.now(), loop, afresh=True)
    log.info("rerun requested" if asked else "rerun requested already", job=standing.job.id)
    return asked


def _standing(services: Services, connection_id: str, project: int) -> AnsweringJob | None:
    with services.database.read() as connection:
        mine = pulls.completed(connection, connection_id)
        pushed = pulls.get_pushes(connection, [one.job_id for one in mine])
        for one in mine:
            reviews = one.job_id in pushed and pushed[one.job_id].review_project == project
            job = jobs.get(connection, one.job_id) if one.project == project or reviews else None
            if job is not None and not job.spec.glitches:
                return AnsweringJob(job, one, reviews)
    return None


class _Predictor:
    """Predictions of one job for one request."""

    def __init__(self, services: Services, standing: AnsweringJob, control: Control) -> None:
        self._services, self._standing, self._control = services, standing, control
        self._version = model_version(standing.job.id)

    def ranked(self, tasks: Sequence[Mapping[str, Any]]) -> list[Prediction | list[Prediction] | None]:
        """Predictions from the ranking; a task with several samples gets its most suspicious one, an unranked task None."""
        names = [self._names(task) for task in tasks]
        with self._services.database.read() as connection:
            rows = rankings.rows_by_id(connection, self._standing.job.id, [name for some in names for name in some])
        found: list[Prediction | list[Prediction] | None] = []
        for some in names:
            there = [rows[name] for name in some if name in rows]
            found.append(self._from_ranking(max(there, key=lambda row: float(row["mislabeled"]))) if there else None)
        return found

    def _names(self, task: Mapping[str, Any]) -> list[str]:
        """Possible ids of a task's samples."""
        number = origin_task(task) if self._standing.reviews else task.get("id")
        if not isinstance(number, int):
            return []
        if self._standing.pull.policy != "all":
            return [str(number)]
        return [f"{number}:{one.get('id')}" for one in task.get("annotations") or () if isinstance(one, dict)]

    def _from_ranking(self, row: Row) -> Prediction | list[Prediction]:
        if row["suggested_label"] not in self._control.classes:
            return []
        sure = shown_confidence(self._standing.job.result, row["suggested_confidence"])
        return self._prediction(row["suggested_label"], sure, row["mislabeled"])

    def predicted(self, tasks: Sequence[Mapping[str, Any]], deadline: float) -> list[Prediction | None]:
        """Predictions of the model; None without an answer."""
        values = [task_input(task, self._control) for task in tasks]
        positions = [place for place, value in enumerate(values) if value is not None]
        found: list[Prediction | None] = [None] * len(tasks)
        if not positions:
            return found
        samples = [UnseenTask(_number(tasks[place].get("id")), values[place]) for place in positions]
        answers = ask_worker(self._services, self._standing.job, self._standing.pull, samples, deadline)
        for place, probable in zip(positions, answers, strict=True):
            if probable is not None:
                found[place] = self._from_model(tasks[place], probable)
        return found

    def _from_model(self, task: Mapping[str, Any], probable: Mapping[str, float]) -> Prediction | None:
        writable = {name: share for name, share in probable.items() if name in self._control.classes}
        if not writable:
            return None
        label = max(writable, key=lambda name: writable[name])
        annotated = [one for one in read_annotations(task, self._control) if isinstance(one, Annotation)]
        given = winning_labels(annotated, self._standing.pull.policy) if annotated else []
        suspicion = 1 - probable.get(given[0], 0.0) if len(given) == 1 else None
        return self._prediction(label, writable[label], suspicion)

    def _prediction(self, label: str, confidence: float | None, score: float | None) -> Prediction:
        sure = {} if confidence is None else {"score": confidence}
        items = [{**item, **sure} for item in choices_result(self._control, label)]
        return Prediction(result=items, score=score, model_version=self._version)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
