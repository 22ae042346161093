"""Reads what people have decided in Label Studio, and keeps it as reviews.

Events only say that it is time to look. What holds is read from the tool itself, so that events which are lost, doubled
or late change nothing, nor does a service that was away; deletions are told by what is not there any more.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

import structlog

from service.domain.connection import ReconcileResult
from service.domain.dataset import AnnotationPolicy
from service.domain.errors import Conflict, SuspectsError
from service.ingest.identities import labels_of
from service.label_studio.client import LabelStudio, Refused
from service.label_studio.projects import connect, control_of
from service.label_studio.push.review_project import origin_of
from service.label_studio.push.state import PushState, over, pull_of
from service.label_studio.reconcile.decisions import Said, Stamp, Task, Word, later, of_annotation, of_task, said
from service.label_studio.reconcile.reviews import keep
from service.platforms.label_studio import task_number
from service.services import Services
from service.store import datasets, jobs, outcomes, pulls
from service.store.jobs import Job
from service.store.pulls import Pull

log = structlog.get_logger()

_WAIT = timedelta(seconds=2)  # for the rest of a burst of events
_PAUSE = timedelta(minutes=1)  # after a failure
_TRIES = 3
_NOT_FOUND = 404
_PLANTED = {"state": "planted"}


def reconcile(services: Services, job: Job) -> ReconcileResult:
    """Read what holds of a completed job's tasks now. Raises Conflict, and Upstream where the tool cannot be read."""
    if job.spec.glitches:
        raise Conflict("this job planted errors itself; what people decide is not about its labels", members=_PLANTED)
    pull = pull_of(services, job)
    with connect(services, pull.connection_id) as client:
        reader = _Reader(services, client)
        return reader.reconcile(job, pull, reader.look(pull))


def reconcile_due(services: Services) -> int:
    """Look once at what was asked for and at what was not looked at for long; gives how many jobs were reconciled.

    Two services at once reconcile each job once.
    """
    now, every = services.now(), timedelta(seconds=services.settings.reconcile_seconds)
    if every:
        with services.database.write() as connection:
            pulls.request_overdue(connection, every, now)
    with services.database.read() as connection:
        due = pulls.requested(connection, _WAIT, now)
    count = 0
    for connection_id, some in groupby(sorted(due, key=lambda one: one.connection_id or ""), lambda o: o.connection_id):
        count += _all(services, connection_id, list(some))
    return count


def _all(services: Services, connection_id: str | None, due: Sequence[Pull]) -> int:
    with services.database.write() as connection:
        taken = [one for one in due if pulls.claim(connection, one, services.now())]
        found = [(one, jobs.get(connection, one.job_id)) for one in taken]
    mine = [(one, job) for one, job in found if job is not None and not job.spec.glitches]
    if not mine:
        return 0
    try:
        with connect(services, connection_id) as client:
            reader = _Reader(services, client)
            return sum(_one(services, reader, one, job) for one, job in mine)
    except SuspectsError as error:
        _failed(services, [one for one, _ in mine], error)
    return 0


def _one(services: Services, reader: "_Reader", one: Pull, job: Job) -> bool:
    try:
        view = reader.look(one)
        if view == one.seen:
            with services.database.write() as connection:
                pulls.record_reconciled(connection, one.job_id, view, services.now())
            return False
        told = reader.reconcile(job, one, view)
    except SuspectsError as error:
        _failed(services, [one], error)
        return False
    log.info("reconciled", job=job.id, project=one.project, recorded=told.recorded)
    return True


def _failed(services: Services, some: Sequence[Pull], error: SuspectsError) -> None:
    log.warning("not reconciled", jobs=[one.job_id for one in some], error=error.detail)
    with services.database.write() as connection:
        for one in some:
            pulls.record_failure(connection, one.job_id, error.detail, services.now() + _PAUSE)


@dataclass(frozen=True)
class _Truth:
    """The annotations of every task of a project, by task. `whole`: nothing moved while they were read."""

    tasks: Mapping[int, Sequence[Said]]
    whole: bool


class _Reader:
    """Reads projects over one connection, each once."""

    def __init__(self, services: Services, client: LabelStudio) -> None:
        self._here, self._client = services, client
        self._views: dict[int, str] = {}
        self._read: dict[tuple[int, str | None, str], _Truth] = {}

    def look(self, pull: Pull) -> str:
        """What the projects of a job look like, in short: it changes whenever anything of them does."""
        with self._here.database.read() as connection:
            push = pulls.get_push(connection, pull.job_id)
        numbers = [pull.project, *([push.review_project] if push and push.review_project else [])]
        return "; ".join(f"{number}: {self._view(number)}" for number in numbers)

    def _view(self, number: int) -> str:
        if number not in self._views:
            try:
                self._views[number] = self._client.view(number)
            except Refused as error:
                if error.status != _NOT_FOUND:
                    raise
                self._views[number] = "gone"
        return self._views[number]

    def reconcile(self, job: Job, pull: Pull, view: str) -> ReconcileResult:
        services = self._here
        with services.database.read() as connection:
            pushed = over(connection, pull)
            info = datasets.get(connection, job.dataset_id)
        if info is None:
            raise Conflict("the job was deleted in the meantime", members={"state": "deleted"})
        truth = self._truth(pull, pull.project, review=False)
        reviewed = self._reviewed(pull, pushed.get(job.id, PushState()))
        given = labels_of(services.blobs.canonical(job.dataset_id))
        words = _words(given, _baseline(services, pull), _Ours(pushed.values()), truth, reviewed, pull)
        recorded = keep(services, job, pushed, words, given, info.classes)
        with services.database.write() as connection:
            pulls.record_reconciled(
                connection, job.id, view if truth.whole and reviewed.whole else None, services.now()
            )
            seen = outcomes.of_job(connection, job.id)
        counted = {str(one): count for one, count in seen.of_flagged().items()}
        return ReconcileResult(project=pull.project, tasks=len(truth.tasks), recorded=recorded, outcomes=counted)

    def _truth(self, pull: Pull, number: int, *, review: bool) -> _Truth:
        """Pages shift when tasks are deleted meanwhile; then they are read again, and at last not trusted to be all."""
        key = (number, pull.from_name, "review" if review else "own")
        if key not in self._read:
            for _ in range(_TRIES):
                before = self._client.view(number)
                tasks = dict(self._pages(pull, number, review=review))
                whole = self._client.view(number) == before
                if whole:
                    break
            self._read[key] = _Truth(tasks, whole)
        return self._read[key]

    def _pages(self, pull: Pull, number: int, *, review: bool) -> Iterator[tuple[int, list[Said]]]:
        project = self._client.project(number)
        control = control_of(str(project.get("label_config") or ""), pull.from_name)
        for page in self._client.tasks(number):
            for task in page:
                which = origin_of(task) if review else int(task["id"])
                if which is not None:
                    yield which, said(task, control)

    def _reviewed(self, pull: Pull, state: PushState) -> _Truth:
        if state.review_project is None or self._view(state.review_project) == "gone":
            return _Truth({}, True)
        return self._truth(pull, state.review_project, review=True)


class _Ours:
    """What pushes over the same project did to annotations themselves."""

    def __init__(self, states: Iterable[PushState]) -> None:
        self.stamps: dict[int, set[Stamp]] = defaultdict(set)
        self.tasks: set[int] = set()
        for state in states:
            self.tasks |= state.requeued.keys() | state.restored.keys()
            for task, made in state.restored.items():
                self.stamps[task] |= {(number, stamp) for number, stamp in made}


def _baseline(services: Services, pull: Pull) -> dict[int, dict[int, tuple[str, str | None]]]:
    """What the tool said when the tasks were pulled: by task and annotation, when it was changed last and its class."""
    path, found = services.blobs.origin(pull.job_id), {}
    if not path.exists():
        msg = "what the tool said when the tasks were pulled is not known any more; submit the project as a new job"
        raise Conflict(msg, members={"state": "forgotten"})
    with path.open() as lines:
        for line in lines:
            told = json.loads(line)
            found[int(told["task"])] = {
                int(number): (str(stamp), label) for number, stamp, label in told["annotations"]
            }
    return found


def _words(
    given: Mapping[str, str],
    baseline: Mapping[int, Mapping[int, tuple[str, str | None]]],
    ours: _Ours,
    truth: _Truth,
    reviewed: _Truth,
    pull: Pull,
) -> dict[str, Word]:
    """What is new of each sample, by sample."""
    found = {}
    # Nobody marks what is decided in a review project as ground truth.
    of_reviews: AnnotationPolicy = "majority" if pull.policy == "majority" else "latest"
    for name in given:
        number = task_number(name)
        if number is None:
            continue
        before = baseline.get(number, {})
        known = {(one, stamp) for one, (stamp, _) in before.items()} | ours.stamps.get(number, set())
        task = Task({one: label for one, (_, label) in before.items()}, known, number in ours.tasks)
        now = truth.tasks.get(number)
        word = None
        if now is not None or truth.whole:
            annotation = name.partition(":")[2]
            word = of_annotation(now, int(annotation), task) if annotation else of_task(now, task, pull.policy)
        if number in reviewed.tasks:
            word = later(word, of_task(reviewed.tasks[number], Task({}, (), False), of_reviews))
        if word is not None:
            found[name] = word
    return found
