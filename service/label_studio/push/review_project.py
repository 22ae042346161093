"""A project of the suspects alone, in order, with what is suggested: nothing of the first project is touched."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.label_studio.client import LabelStudio, Refused
from service.label_studio.push.ranked import Ranked, model_version, prediction
from service.label_studio.push.state import PushState
from service.platforms.label_studio import Control
from service.services import Services
from service.store.jobs import Job
from service.store.pulls import Pull

_LONGEST_TITLE = 50  # of a Label Studio project
_NOT_FOUND = 404


def fill(
    services: Services,
    client: LabelStudio,
    job: Job,
    pull: Pull,
    project: dict[str, Any],
    control: Control,
    suspects: Sequence[Ranked],
    state: PushState,
) -> PushState:
    """Make the project, unless it is there, and put those suspects into it that it lacks."""
    if state.review_project is None or not _is_there(client, state.review_project):
        body = {
            "title": f"Suspects: {project.get('title') or pull.project}"[:_LONGEST_TITLE],
            "description": f"{job.id} of project {pull.project}",
            "label_config": project["label_config"],
            "sampling": "Sequential sampling",
        }
        made = client.ask("POST", "/api/projects/", json=body)
        state = state.changed(services, job, review_project=int(made["id"]))
    assert state.review_project is not None
    known = set(origins(page for page in client.tasks(state.review_project, "id,meta")).values())
    lacking = [one for one in suspects if one.task not in known]
    if lacking:
        data = _data(client, pull.project, {one.task for one in lacking})
        # Somebody may have deleted tasks since they were looked for.
        there = [_task(one, job, pull, control, data[one.task]) for one in lacking if one.task in data]
        client.add_tasks(state.review_project, there)
    version = {"model_version": model_version(job.id), "show_collab_predictions": True}
    client.ask("PATCH", f"/api/projects/{state.review_project}/", json=version)
    return state


def origins(pages: Iterable[Sequence[dict[str, Any]]]) -> dict[int, int]:
    """The task of the first project that each task of a review project is."""
    found = {int(task["id"]): origin_of(task) for page in pages for task in page}
    return {number: origin for number, origin in found.items() if origin is not None}


def origin_of(task: Mapping[str, Any]) -> int | None:
    """The task of the first project that a task of a review project is; None for one that somebody added."""
    meta = task.get("meta")
    number = meta.get("origin_task") if isinstance(meta, dict) else None
    return number if isinstance(number, int) else None


def _is_there(client: LabelStudio, number: int) -> bool:
    try:
        client.project(number)
    except Refused as error:
        if error.status == _NOT_FOUND:
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


def _task(one: Ranked, job: Job, pull: Pull, control: Control, data: dict[str, Any]) -> dict[str, Any]:
    known = {"suspicion": one.score, "given": one.given, "suggested": one.suggested}
    told = prediction(one, control, model_version(job.id))
    return {
        "data": {**data, **{name: value for name, value in known.items() if name not in data}},
        "meta": {"origin_task": one.task, "origin_project": pull.project, "job": job.id},
        "predictions": [{name: told[name] for name in ("result", "score", "model_version")}]
        if one.suggested in control.classes
        else [],
    }
