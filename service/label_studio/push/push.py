"""Writes a ranking into Label Studio. A second push of the same ranking changes nothing.

Tested with 1.23: it averages scores of one model version, so old predictions are deleted before new ones are sent; the
score column shows only predictions of the project's own `model_version`; classes and scores are not validated;
`mislabeling` and `neighbors` are kept when a prediction is posted alone, and dropped in bulk.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from service.domain.connection import PushRequest, PushResult, UndoResult
from service.domain.errors import Conflict
from service.label_studio.client import LabelStudio
from service.label_studio.projects import connect, read_control
from service.label_studio.push.data_manager import project_url, save_tab
from service.label_studio.push.events import subscribe
from service.label_studio.push.predictions import (
    RankedTask,
    influential_tasks,
    model_version,
    prediction,
    predictions_digest,
    ranked_tasks,
)
from service.label_studio.push.push_state import load_state, pull_of_job
from service.label_studio.push.requeue import requeue, undo_requeue
from service.label_studio.push.review_project import fill_review_project
from service.platforms.label_studio import Control
from service.services import Services
from service.store.jobs import Job
from service.store.pulls import Pull

_DETAILED = 50  # first predictions, posted one by one to keep what the bulk import drops


def push(services: Services, job: Job, request: PushRequest) -> PushResult:
    """Write a completed job's ranking into its project. Raises Conflict, Upstream, and Invalid for the label config."""
    pull = pull_of_job(services, job)
    suspects = ranked_tasks(services, job)
    with (
        exclusive(services, job),
        connect(services, pull.connection_id) as client,
    ):
        return _Push(services, client, job, pull, request).run(suspects)


@contextmanager
def exclusive(services: Services, job: Job) -> Iterator[None]:
    """Lock for one push or undo of a job at a time. Raises Conflict for a second one."""
    with services.database.try_lock(_lock(job.id)) as free:
        if not free:
            raise Conflict("the job is being pushed right now", retry_after=10, members={"state": "pushing"})
        yield


def is_pushed_now(services: Services, job_id: str) -> bool:
    """Whether a push or an undo of a job is under way."""
    with services.database.try_lock(_lock(job_id)) as free:
        return not free


def _lock(job_id: str) -> str:
    return f"push {job_id}"


class _Push:
    """One push of a job."""

    def __init__(self, services: Services, client: LabelStudio, job: Job, pull: Pull, request: PushRequest) -> None:
        self._services, self._client, self._job, self._pull, self._request = services, client, job, pull, request
        self._version = model_version(job.id)
        self._state = load_state(services, job)

    def run(self, suspects: Sequence[RankedTask]) -> PushResult:
        client, pull, request = self._client, self._pull, self._request
        project = client.project(pull.project)
        control = read_control(str(project.get("label_config") or ""), pull.from_name)
        present = {int(task["id"]) for page in client.tasks(pull.project, "id") for task in page}
        there = [one for one in suspects if one.task in present]
        writable = [one for one in there if one.suggested in control.classes]
        chosen = writable
        if request.mode in ("predictions", "tab") and request.limit is not None:
            chosen = writable[: request.limit]
        sent = self._to_review(there)
        written, replaced = self._predict(chosen, control, present)
        if not request.dry_run:
            self._show_scores(project)
            self._apply_mode(project, control, sent)
        state = self._state
        view = None if request.mode == "predictions" else state.view
        return PushResult(
            mode=request.mode,
            dry_run=request.dry_run,
            project=pull.project,
            model_version=self._version,
            predictions=len(chosen),
            written=written,
            replaced=replaced,
            detailed=min(len(chosen), _DETAILED),
            missing=len(suspects) - len(there),
            unwritable=len(there) - len(writable),
            view=view,
            review_project=state.review_project,
            suspects=len(sent),
            model_version_before=state.model_version_before,
            events=state.events,
            url=project_url(client.url, state.review_project or pull.project, None)
            if request.mode == "review_project"
            else project_url(client.url, pull.project, view),
        )

    def _to_review(self, there: Sequence[RankedTask]) -> list[RankedTask]:
        if self._request.mode not in ("review_project", "requeue"):
            return []
        # A decided task is not sent again, also when the decision was in another job of the chain.
        undecided = [one for one in there if not one.decided]
        if self._request.limit is not None:
            return undecided[: self._request.limit]
        return [one for one in undecided if one.flagged]

    def _predict(self, chosen: Sequence[RankedTask], control: Control, present: set[int]) -> tuple[int, int]:
        """Write the predictions unless they are there already; returns the numbers written and deleted before."""
        client, number = self._client, self._pull.project
        neighbors = influential_tasks(self._services, self._job, chosen[:_DETAILED], present)
        every = [prediction(one, control, self._version) for one in chosen]
        detailed = [
            {**each, "mislabeling": one.score, "neighbors": neighbors.get(one.task, [])}
            for one, each in zip(chosen[:_DETAILED], every, strict=False)
        ]
        wanted, before = (
            predictions_digest([*detailed, *every[_DETAILED:]]),
            client.model_versions(number).get(self._version, 0),
        )
        if before == len(every) and self._state.digest == wanted:
            return 0, 0
        if not self._request.dry_run:
            if before:
                body = {"model_version": self._version}
                client.request("DELETE", f"/api/projects/{number}/model-versions/", json=body)
            client.add_predictions(number, every[_DETAILED:])
            for one in detailed:
                client.request("POST", "/api/predictions/", json=one)
            self._save(digest=wanted)
        return len(every), before

    def _show_scores(self, project: dict[str, Any]) -> None:
        """Show this job's scores in the tool: the score column is empty without a model version of the project."""
        before = str(project.get("model_version") or "")
        if before != self._version:
            if self._state.model_version_before is None:
                self._save(model_version_before=before)
            body = {"model_version": self._version, "show_collab_predictions": True}
            self._client.request("PATCH", f"/api/projects/{self._pull.project}/", json=body)

    def _apply_mode(self, project: dict[str, Any], control: Control, sent: Sequence[RankedTask]) -> None:
        mode, number = self._request.mode, self._pull.project
        self._save(events=subscribe(self._services, self._client, self._pull, number))
        if mode != "predictions":
            self._save(view=save_tab(self._client, number, self._job, self._version))
        if mode == "review_project":
            self._state = fill_review_project(
                self._services, self._client, self._job, self._pull, project, control, sent, self._state
            )
            subscribe(self._services, self._client, self._pull, self._state.review_project)
        if mode == "requeue":
            self._state = requeue(self._services, self._client, self._job, sent, self._state)

    def _save(self, **changes: Any) -> None:
        self._state = self._state.saved_with(self._services, self._job, **changes)


def undo(services: Services, job: Job) -> UndoResult:
    """Restore the annotations of requeued tasks. Raises Conflict and Upstream."""
    pull = pull_of_job(services, job)
    with (
        exclusive(services, job),
        connect(services, pull.connection_id) as client,
    ):
        return undo_requeue(services, client, job, load_state(services, job))
