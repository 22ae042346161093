"""Writes a ranking back into Label Studio. Doing it twice changes nothing.

Proved against 1.23: scores of one model version are averaged, so what is there is taken away before it is sent again;
the score column shows only predictions of the project's own `model_version`; classes and scores are not validated;
`mislabeling` and `neighbors` are kept when a prediction is posted alone, and dropped in bulk.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from service.domain.connection import PushRequest, PushResult, UndoResult
from service.domain.errors import Conflict
from service.label_studio.client import LabelStudio
from service.label_studio.projects import connect, control_of
from service.label_studio.push.ranked import Ranked, digest, model_version, neighbours, prediction, ranked
from service.label_studio.push.requeue import put_back, send_back
from service.label_studio.push.review_project import fill
from service.label_studio.push.state import of_job, pull_of
from service.label_studio.push.tab import keep_tab, link, listen
from service.platforms.label_studio import Control
from service.services import Services
from service.store.jobs import Job
from service.store.pulls import Pull

_DETAILED = 50  # predictions that are posted one by one, for what the bulk way drops


def push(services: Services, job: Job, request: PushRequest) -> PushResult:
    """Write a completed job's ranking back. Raises Conflict, Upstream and what reading the label config raises."""
    pull = pull_of(services, job)
    suspects = ranked(services, job)
    with (
        alone(services, job),
        connect(services, pull.connection_id) as client,
    ):
        return _Push(services, client, job, pull, request).run(suspects)


@contextmanager
def alone(services: Services, job: Job) -> Iterator[None]:
    """One push or undoing of a job at a time. Raises Conflict for a second one."""
    with services.database.try_lock(f"push {job.id}") as free:
        if not free:
            raise Conflict("the job is being pushed right now", retry_after=10, members={"state": "pushing"})
        yield


class _Push:
    """One push: what is asked for, where, and what was known before."""

    def __init__(self, services: Services, client: LabelStudio, job: Job, pull: Pull, request: PushRequest) -> None:
        self._here, self._client, self._job, self._pull, self._request = services, client, job, pull, request
        self._version = model_version(job.id)
        self._state = of_job(services, job)

    def run(self, suspects: Sequence[Ranked]) -> PushResult:
        client, pull, request = self._client, self._pull, self._request
        project = client.project(pull.project)
        control = control_of(str(project.get("label_config") or ""), pull.from_name)
        present = {int(task["id"]) for page in client.tasks(pull.project, "id") for task in page}
        there = [one for one in suspects if one.task in present]
        writable = [one for one in there if one.suggested in control.classes]
        chosen = writable
        if request.mode in ("predictions", "tab") and request.limit is not None:
            chosen = writable[: request.limit]
        sent = self._suspects(there)
        written, replaced = self._predict(chosen, control, present)
        if not request.dry_run:
            self._show(project)
            self._extras(project, control, sent)
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
            url=link(client.url, state.review_project or pull.project, None)
            if request.mode == "review_project"
            else link(client.url, pull.project, view),
        )

    def _suspects(self, there: Sequence[Ranked]) -> list[Ranked]:
        if self._request.mode not in ("review_project", "requeue"):
            return []
        # Nobody is asked again about what was decided, in another job of the chain maybe.
        open_ones = [one for one in there if not one.decided]
        if self._request.limit is not None:
            return open_ones[: self._request.limit]
        return [one for one in open_ones if one.flagged]

    def _predict(self, chosen: Sequence[Ranked], control: Control, present: set[int]) -> tuple[int, int]:
        """Write the predictions that are not there already; gives how many, and how many were taken away first."""
        client, number = self._client, self._pull.project
        near = neighbours(self._here, self._job, chosen[:_DETAILED], present)
        every = [prediction(one, control, self._version) for one in chosen]
        detailed = [
            {**each, "mislabeling": one.score, "neighbors": near.get(one.task, [])}
            for one, each in zip(chosen[:_DETAILED], every, strict=False)
        ]
        wanted, before = digest([*detailed, *every[_DETAILED:]]), client.versions(number).get(self._version, 0)
        if before == len(every) and self._state.digest == wanted:
            return 0, 0
        if not self._request.dry_run:
            if before:
                body = {"model_version": self._version}
                client.ask("DELETE", f"/api/projects/{number}/model-versions/", json=body)
            client.predict(number, every[_DETAILED:])
            for one in detailed:
                client.ask("POST", "/api/predictions/", json=one)
            self._keep(digest=wanted)
        return len(every), before

    def _show(self, project: dict[str, Any]) -> None:
        """Let the tool's score column be of this job: it is empty as long as the project names no model version."""
        before = str(project.get("model_version") or "")
        if before != self._version:
            if self._state.model_version_before is None:
                self._keep(model_version_before=before)
            body = {"model_version": self._version, "show_collab_predictions": True}
            self._client.ask("PATCH", f"/api/projects/{self._pull.project}/", json=body)

    def _extras(self, project: dict[str, Any], control: Control, sent: Sequence[Ranked]) -> None:
        mode, number = self._request.mode, self._pull.project
        self._keep(events=listen(self._here, self._client, self._pull, number))
        if mode != "predictions":
            self._keep(view=keep_tab(self._client, number, self._job, self._version))
        if mode == "review_project":
            self._state = fill(self._here, self._client, self._job, self._pull, project, control, sent, self._state)
            listen(self._here, self._client, self._pull, self._state.review_project)
        if mode == "requeue":
            self._state = send_back(self._here, self._client, self._job, sent, self._state)

    def _keep(self, **changes: Any) -> None:
        self._state = self._state.changed(self._here, self._job, **changes)


def undo(services: Services, job: Job) -> UndoResult:
    """Put the tasks that were sent back into the queue as they had been. Raises Conflict and Upstream."""
    pull = pull_of(services, job)
    with (
        alone(services, job),
        connect(services, pull.connection_id) as client,
    ):
        return put_back(services, client, job, of_job(services, job))
