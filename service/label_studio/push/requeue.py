"""Sends suspects back into the queue: their annotations become drafts. What was there is kept, and can be put back."""

from collections.abc import Sequence
from typing import Any

from service.domain.connection import UndoResult
from service.label_studio.client import LabelStudio, Refused
from service.label_studio.push.ranked import Ranked
from service.label_studio.push.state import PushState
from service.services import Services
from service.store.jobs import Job

_KEPT = ("id", "result", "completed_by", "ground_truth", "lead_time", "updated_at")
_RESTORED = ("result", "completed_by", "ground_truth", "lead_time")
_NOT_FOUND = 404


def send_back(
    services: Services, client: LabelStudio, job: Job, suspects: Sequence[Ranked], state: PushState
) -> PushState:
    """Turn the annotations of these tasks into drafts, all but those that came after an earlier sending back."""
    lacking = {one.task for one in suspects if one.task not in state.requeued}
    kept = {task: _submitted(found) for task in lacking if (found := _task(client, task)) is not None}
    # Written down before the first is touched: what is not known any more could not be put back.
    state = state.changed(
        services, job, requeued={**state.requeued, **{task: some for task, some in kept.items() if some}}
    )
    for one in suspects:
        for annotation in state.requeued.get(one.task, []):
            _convert(client, int(annotation["id"]))
    return state


def put_back(services: Services, client: LabelStudio, job: Job, state: PushState) -> UndoResult:
    """Submit what was there again, where nobody has annotated the task since."""
    restored = kept = 0
    for task, annotations in state.requeued.items():
        found = _task(client, task)
        there = [] if found is None else _submitted(found)
        # An undoing that broke off has put some back already.
        ours = {int(one["id"]) for one in annotations} | {number for number, _ in state.restored.get(task, [])}
        if found is None or {int(one["id"]) for one in there} - ours:
            kept += 1
        else:
            state = _restore(services, client, job, found, state)
            restored += 1
        left = {number: some for number, some in state.requeued.items() if number != task}
        state = state.changed(services, job, requeued=left)
    return UndoResult(restored=restored, kept=kept)


def _restore(services: Services, client: LabelStudio, job: Job, task: dict[str, Any], state: PushState) -> PushState:
    """Submit the annotations of a task again; each is noted at once, so that nobody takes it for somebody's word."""
    number, there = int(task["id"]), {int(one["id"]) for one in _submitted(task)}
    drafts = {int(one["id"]): one.get("result") for one in task.get("drafts") or ()}
    left = list(state.requeued[number])
    for one in state.requeued[number]:
        left.remove(one)
        if int(one["id"]) in there:
            continue  # it was never turned into a draft
        body = {name: one[name] for name in _RESTORED if one.get(name) is not None}
        new = client.ask("POST", f"/api/tasks/{number}/annotations/", json=body)
        made = [*state.restored.get(number, []), (int(new["id"]), str(new.get("updated_at") or ""))]
        state = state.changed(
            services, job, restored={**state.restored, number: made}, requeued={**state.requeued, number: list(left)}
        )
        draft = next((draft for draft, result in drafts.items() if result == one["result"]), None)
        if draft is not None:
            del drafts[draft]
            _gone_is_fine(client, "DELETE", f"/api/drafts/{draft}/")
    return state


def _submitted(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [_keepable(one) for one in task.get("annotations") or () if not one.get("was_cancelled")]


def _keepable(annotation: dict[str, Any]) -> dict[str, Any]:
    who = annotation.get("completed_by")
    # A single task tells all about its annotator, a list of tasks the number alone.
    number = who.get("id") if isinstance(who, dict) else who
    return {**{name: annotation.get(name) for name in _KEPT}, "completed_by": number}


def _task(client: LabelStudio, task: int) -> dict[str, Any] | None:
    found = _gone_is_fine(client, "GET", f"/api/tasks/{task}/")
    return found if isinstance(found, dict) else None


def _convert(client: LabelStudio, annotation: int) -> None:
    _gone_is_fine(client, "POST", f"/api/annotations/{annotation}/convert-to-draft")


def _gone_is_fine(client: LabelStudio, method: str, path: str) -> Any:
    try:
        return client.ask(method, path)
    except Refused as error:
        if error.status == _NOT_FOUND:
            return None
        raise
