"""Puts suspects back into the labelling queue: their annotations become drafts. Undo restores the annotations."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from service.domain.connection import UndoResult
from service.label_studio.client import LabelStudio
from service.label_studio.push.predictions import RankedTask
from service.label_studio.push.push_state import PushState
from service.label_studio.session import Refused
from service.services import Services
from service.store.jobs import Job

_SAVED = ("id", "result", "completed_by", "ground_truth", "lead_time", "updated_at")
_RESTORED = ("result", "completed_by", "ground_truth", "lead_time")


def requeue(
    services: Services, client: LabelStudio, job: Job, suspects: Sequence[RankedTask], state: PushState
) -> PushState:
    """Turn annotations of these tasks into drafts, except those that were made after an earlier requeue."""
    missing = {one.task for one in suspects if one.task not in state.requeued}
    kept = {task: _submitted(found) for task in missing if (found := _task(client, task)) is not None}
    # Saved before the first change in the tool: an annotation that was not saved could not be restored.
    state = state.saved_with(
        services, job, requeued={**state.requeued, **{task: some for task, some in kept.items() if some}}
    )
    for one in suspects:
        for annotation in state.requeued.get(one.task, []):
            _convert(client, int(annotation["id"]))
    return state


def undo_requeue(services: Services, client: LabelStudio, job: Job, state: PushState) -> UndoResult:
    """Restore the saved annotations of all tasks that have no newer annotation."""
    restored = kept = 0
    for task, annotations in state.requeued.items():
        found = _task(client, task)
        present = [] if found is None else _submitted(found)
        # An undo that was interrupted has restored some already.
        own = {int(one["id"]) for one in annotations} | {number for number, _ in state.restored.get(task, [])}
        if found is None or {int(one["id"]) for one in present} - own:
            kept += 1
        else:
            state = _restore(services, client, job, found, state)
            restored += 1
        left = {number: some for number, some in state.requeued.items() if number != task}
        state = state.saved_with(services, job, requeued=left)
    return UndoResult(restored=restored, kept=kept)


def _restore(services: Services, client: LabelStudio, job: Job, task: dict[str, Any], state: PushState) -> PushState:
    """Restore the annotations of a task; each is saved at once, so that it is not taken for a new annotation."""
    number, there = int(task["id"]), {int(one["id"]) for one in _submitted(task)}
    drafts = {int(one["id"]): one.get("result") for one in task.get("drafts") or ()}
    left = list(state.requeued[number])
    for one in state.requeued[number]:
        left.remove(one)
        if int(one["id"]) in there:
            continue  # it did not become a draft
        body = {name: one[name] for name in _RESTORED if one.get(name) is not None}
        new = client.request("POST", f"/api/tasks/{number}/annotations/", json=body)
        made = [*state.restored.get(number, []), (int(new["id"]), str(new.get("updated_at") or ""))]
        state = state.saved_with(
            services, job, restored={**state.restored, number: made}, requeued={**state.requeued, number: list(left)}
        )
        draft = next((draft for draft, result in drafts.items() if result == one["result"]), None)
        if draft is not None:
            del drafts[draft]
            _request_or_none(client, "DELETE", f"/api/drafts/{draft}/")
    return state


def _submitted(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [_saved_fields(one) for one in task.get("annotations") or () if not one.get("was_cancelled")]


def _saved_fields(annotation: dict[str, Any]) -> dict[str, Any]:
    who = annotation.get("completed_by")
    # The detail view of a task has an object here, the list view only the id.
    number = who.get("id") if isinstance(who, dict) else who
    return {**{name: annotation.get(name) for name in _SAVED}, "completed_by": number}


def _task(client: LabelStudio, task: int) -> dict[str, Any] | None:
    found = _request_or_none(client, "GET", f"/api/tasks/{task}/")
    return found if isinstance(found, dict) else None


def _convert(client: LabelStudio, annotation: int) -> None:
    _request_or_none(client, "POST", f"/api/annotations/{annotation}/convert-to-draft")


def _request_or_none(client: LabelStudio, method: str, path: str) -> Any:
    try:
        return client.request(method, path)
    except Refused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
