"""Reads the decisions of annotators from Label Studio and records them as reviews.

An event of the tool only triggers a read. The decisions are read from the tool's present state, so lost, repeated and
late events change nothing, nor does downtime of this service. Deletions are found by what is missing.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from service.domain.connection import ReconcileResult
from service.domain.dataset import AnnotationPolicy
from service.domain.errors import Conflict
from service.domain.review import Outcome
from service.ingest.identities import labels_of
from service.label_studio.client import LabelStudio
from service.label_studio.projects import connect, read_control
from service.label_studio.push.push import is_pushed_now
from service.label_studio.push.push_state import PushState, pull_of_job, states_of_project
from service.label_studio.push.review_project import origin_task
from service.label_studio.reconcile.changes import (
    AnnotationVersion,
    PulledTask,
    SampleChange,
    ToolAnnotation,
    change_of_annotation,
    change_of_task,
    latest_change,
    tool_annotations,
)
from service.label_studio.reconcile.record import record_changes
from service.label_studio.session import Refused
from service.platforms.label_studio import task_number
from service.services import Services
from service.store import datasets, outcomes, pulls
from service.store.jobs import Job
from service.store.pulls import Pull
from service.store.seal import open_checked

_TRIES = 3
_GONE = "gone"  # fingerprint of a deleted project


class PushedNow(Conflict):
    """A push or an undo over the project is under way: what it writes cannot be told from decisions before it ends."""


def reconcile(services: Services, job: Job) -> ReconcileResult:
    """Record the present decisions on a completed job's tasks. Raises Conflict, and Upstream for tool errors."""
    if job.spec.glitches:
        msg = "this job planted errors itself; what people decide is not about its labels"
        raise Conflict(msg, members={"state": "planted"})
    pull = pull_of_job(services, job)
    with connect(services, pull.connection_id) as client:
        reader = ProjectReader(services, client)
        return reader.reconcile(job, pull, reader.fingerprint(pull))


@dataclass(frozen=True)
class _ProjectState:
    """The annotations of all tasks of a project, by task. `complete`: nothing changed while they were read."""

    tasks: Mapping[int, Sequence[ToolAnnotation]]
    complete: bool


class ProjectReader:
    """Reads projects over one connection, each project once. Methods raise Upstream for tool errors."""

    def __init__(self, services: Services, client: LabelStudio) -> None:
        self._services, self._client = services, client
        self._fingerprints: dict[int, str] = {}
        self._states: dict[tuple[int, str | None, str], _ProjectState] = {}

    def fingerprint(self, pull: Pull) -> str:
        """A text that changes whenever the projects of a job change."""
        with self._services.database.read() as connection:
            push = pulls.get_push(connection, pull.job_id)
        numbers = [pull.project, *([push.review_project] if push and push.review_project else [])]
        return "; ".join(f"{number}: {self._fingerprint(number)}" for number in numbers)

    def _fingerprint(self, number: int) -> str:
        if number not in self._fingerprints:
            try:
                self._fingerprints[number] = self._client.fingerprint(number)
            except Refused as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                self._fingerprints[number] = _GONE
        return self._fingerprints[number]

    def reconcile(self, job: Job, pull: Pull, fingerprint: str) -> ReconcileResult:
        """Record the decisions on a job's tasks; `fingerprint` is from before. Raises Conflict too."""
        services = self._services
        project = self._read(pull, pull.project, review=False)
        pushes = self._pushes(pull)
        with services.database.read() as connection:
            info = datasets.get(connection, job.dataset_id)
        if info is None:
            raise Conflict("the job was deleted in the meantime", members={"state": "deleted"})
        review = self._read_review_project(pull, pushes.get(job.id, PushState()))
        given = labels_of(services.blobs.canonical(job.dataset_id))
        changes = _changes(given, _baseline(services, pull), _Written(pushes.values()), project, review, pull)
        recorded = record_changes(services, job, pushes, changes, given, info.classes)
        complete = project.complete and review.complete
        with services.database.write() as connection:
            pulls.record_reconciled(connection, job.id, fingerprint if complete else None, services.now())
        with services.database.read() as connection:
            ranking = services.open_rankings.get(connection, services.blobs, job.id)
            flagged = outcomes.of_ranking(connection, ranking).flagged
        counts = {str(one): flagged[one] for one in Outcome}
        return ReconcileResult(project=pull.project, tasks=len(project.tasks), recorded=recorded, outcomes=counts)

    def _pushes(self, pull: Pull) -> dict[str, PushState]:
        """What pushes over the project wrote, as of after it was read: what a push wrote meanwhile is nobody's decision."""
        services = self._services
        with services.database.read() as connection:
            same = pulls.jobs_of_project(connection, pull.connection_id, pull.project)
        if any(is_pushed_now(services, job_id) for job_id in same):
            msg = "annotations of this project are being written or put back right now; read the decisions afterwards"
            raise PushedNow(msg, retry_after=10, members={"state": "pushing"})
        with services.database.read() as connection:
            return states_of_project(connection, pull)

    def _read(self, pull: Pull, number: int, *, review: bool) -> _ProjectState:
        """Read a project. Pages shift when tasks are deleted meanwhile: it is read again, in the end as incomplete."""
        key = (number, pull.from_name, "review" if review else "own")
        if key not in self._states:
            for _ in range(_TRIES):
                before = self._client.fingerprint(number)
                tasks = dict(self._tasks(pull, number, review=review))
                complete = self._client.fingerprint(number) == before
                if complete:
                    break
            self._states[key] = _ProjectState(tasks, complete)
        return self._states[key]

    def _tasks(self, pull: Pull, number: int, *, review: bool) -> Iterator[tuple[int, list[ToolAnnotation]]]:
        project = self._client.project(number)
        control = read_control(str(project.get("label_config") or ""), pull.from_name)
        for page in self._client.tasks(number):
            for task in page:
                origin = origin_task(task) if review else int(task["id"])
                if origin is not None:
                    yield origin, tool_annotations(task, control)

    def _read_review_project(self, pull: Pull, state: PushState) -> _ProjectState:
        if state.review_project is None or self._fingerprint(state.review_project) == _GONE:
            return _ProjectState({}, True)
        return self._read(pull, state.review_project, review=True)


class _Written:
    """Annotations that pushes over one project wrote or took away themselves: they are nobody's decision."""

    def __init__(self, states: Iterable[PushState]) -> None:
        self.versions: dict[int, set[AnnotationVersion]] = defaultdict(set)
        self.requeued: set[int] = set()
        for state in states:
            self.requeued |= state.requeued.keys() | state.restored.keys()
            for task, restored in state.restored.items():
                self.versions[task] |= {(number, updated_at) for number, updated_at in restored}


def _baseline(services: Services, pull: Pull) -> dict[int, dict[int, tuple[str, str | None]]]:
    """State at the time of the pull: by task and annotation, when it was last updated and its class."""
    path, found = services.blobs.origin(pull.job_id), {}
    if not path.exists():
        msg = "what the tool said when the tasks were pulled is not known any more; submit the project as a new job"
        raise Conflict(msg, members={"state": "forgotten"})
    with open_checked(path) as lines:
        for line in lines:
            task = json.loads(line)
            found[int(task["task"])] = {
                int(number): (str(updated_at), label) for number, updated_at, label in task["annotations"]
            }
    return found


def _changes(
    given: Iterable[str],
    baseline: Mapping[int, Mapping[int, tuple[str, str | None]]],
    written: _Written,
    project: _ProjectState,
    review: _ProjectState,
    pull: Pull,
) -> dict[str, SampleChange]:
    """The changed samples, by sample."""
    found = {}
    # Annotations in a review project are not marked as ground truth.
    review_policy: AnnotationPolicy = "majority" if pull.policy == "majority" else "latest"
    for name in given:
        number = task_number(name)
        if number is None:
            continue
        before = baseline.get(number, {})
        known = {(one, updated_at) for one, (updated_at, _) in before.items()} | written.versions.get(number, set())
        task = PulledTask({one: label for one, (_, label) in before.items()}, known, number in written.requeued)
        now = project.tasks.get(number)
        change = None
        if now is not None or project.complete:
            annotation = name.partition(":")[2]
            change = (
                change_of_annotation(now, int(annotation), task)
                if annotation
                else change_of_task(now, task, pull.policy)
            )
        if number in review.tasks:
            reviewed = change_of_task(review.tasks[number], PulledTask({}, (), requeued=False), review_policy)
            change = latest_change(change, reviewed)
        if change is not None:
            found[name] = change
    return found
