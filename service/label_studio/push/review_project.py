"""The review project: a project of the suspects only, in order, with suggestions. The original project is unchanged."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from service.label_studio.client import LabelStudio
from service.label_studio.push.predictions import RankedTask, model_version, prediction
from service.label_studio.push.push_state import PushState
from service.label_studio.session import Refused
from service.platforms.label_studio import Control
from service.services import Services
from service.store.jobs import Job
from service.store.pulls import Pull

_LONGEST_TITLE = 50  # of a Label Studio project


def fill_review_project(
    services: Services,
    client: LabelStudio,
    job: Job,
    pull: Pull,
    project: dict[str, Any],
    control: Control,
    suspects: Sequence[RankedTask],
    state: PushState,
) -> PushState:
    """Create the review project unless it exists, and add the missing suspects."""
    if state.review_project is None or not _exists(client, state.review_project):
        body = {
            "title": f"Suspects: {project.get('title') or pull.project}"[:_LONGEST_TITLE],
            "description": f"{job.id} of project {pull.project}",
            "label_config": project["label_config"],
            "sampling": "Sequential sampling",
        }
        made = client.request("POST", "/api/projects/", json=body)
        state = state.saved_with(services, job, review_project=int(made["id"]))
    assert state.review_project is not None
    known = set(origin_tasks(page for page in client.tasks(state.review_project, "id,meta")).values())
    missing = [one for one in suspects if one.task not in known]
    if missing:
        data = _data(client, pull.project, {one.task for one in missing})
        # Tasks may have been deleted since the ranking was matched with the project.
        there = [_task(one, job, pull, control, data[one.task]) for one in missing if one.task in data]
        client.add_tasks(state.review_project, there)
    version = {"model_version": model_version(job.id), "show_collab_predictions": True}
    client.request("PATCH", f"/api/projects/{state.review_project}/", json=version)
    return state


def origin_tasks(pages: Iterable[Sequence[dict[str, Any]]]) -> dict[int, int]:
    """Task of the original project, by task of the review project."""
    found = {int(task["id"]): origin_task(task) for page in pages for task in page}
    return {number: origin for number, origin in found.items() if origin is not None}


def origin_task(task: Mapping[str, Any]) -> int | None:
    """Task of the original project that a task of a review project copies; None for a task that somebody added."""
    meta = task.get("meta")
    number = meta.get("origin_task") if isinstance(meta, dict) else None
    return number if isinstance(number, int) else None


def _exists(client: LabelStudio, number: int) -> bool:
    try:
        client.project(number)
    except Refused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _data(client: LabelStudio, project: int, wanted: set[int]) -> dict[int, dict[str, Any]]:
    return {
        int(task["id"]): task["data"]
        for page in client.tasks(project, "id,data")
        for task in page
        if int(task["id"]) in wanted
    }


def _task(one: RankedTask, job: Job, pull: Pull, control: Control, data: dict[str, Any]) -> dict[str, Any]:
    known = {"suspicion": one.score, "given": one.given, "suggested": one.suggested}
    suggestion = prediction(one, control, model_version(job.id))
    return {
        "data": {**data, **{name: value for name, value in known.items() if name not in data}},
        "meta": {"origin_task": one.task, "origin_project": pull.project, "job": job.id},
        "predictions": [{name: suggestion[name] for name in ("result", "score", "model_version")}]
        if one.suggested in control.classes
        else [],
    }
