"""Sends suspects back into the queue: their annotations become drafts. What was there is kept, and can be put back."""

from collections.abc import Sequence
from typing import Any

from service.domain.connection import Undone
from service.label_studio.begin import Surroundings
from service.label_studio.client import LabelStudio, Refused
from service.label_studio.ranked import Ranked
from service.label_studio.state import PushState
from service.store.jobs import Job

_KEPT = ("id", "result", "completed_by", "ground_truth", "lead_time", "updated_at")
_RESTORED = ("result", "completed_by", "ground_truth", "lead_time")
_NOT_FOUND = 404


def send_back(
    here: Surroundings, client: LabelStudio, job: Job, suspects: Sequence[Ranked], state: PushState
) -> PushState:
    """Turn the annotations of these tasks into drafts, all but those that came after an earlier sending back."""
    lacking = {one.task for one in suspects if one.task not in state.requeued}
    kept = {task: _submitted(found) for task in lacking if (found := _task(client, task)) is not None}
    # Written down before the first is touched: what is not known any more could not be put back.
    state = state.changed(here, job, requeued={**state.requeued, **{task: some for task, some in kept.items() if some}})
    for one in suspects:
        for annotation in state.requeued.get(one.task, []):
            _convert(client, int(annotation["id"]))
    return state


def put_back(here: Surroundings, client: LabelStudio, job: Job, state: PushState) -> Undone:
    """Submit what was there again, where nobody has annotated the task since."""
    restored = kept = 0
    for task, annotations in state.requeued.items():
        found = _task(client, task)
        there = [] if found is None else _submitted(found)
        before = {int(one["id"]) for one in annotations}
        made = list(state.restored.get(task, []))
        if found is None or {int(one["id"]) for one in there} - before:
            kept += 1
        else:
            made += _restore(client, found, annotations, {int(one["id"]) for one in there})
            restored += 1
        left = {number: some for number, some in state.requeued.items() if number != task}
        state = state.changed(here, job, requeued=left, restored={**state.restored, task: made})
    return Undone(restored=restored, kept=kept)


def _restore(
    client: LabelStudio, task: dict[str, Any], annotations: Sequence[dict[str, Any]], there: set[int]
) -> list[tuple[int, str]]:
    drafts = {int(one["id"]): one.get("result") for one in task.get("drafts") or ()}
    made = []
    for one in annotations:
        if int(one["id"]) in there:
            continue  # it was never turned into a draft
        body = {name: one[name] for name in _RESTORED if one.get(name) is not None}
        new = client.ask("POST", f"/api/tasks/{task['id']}/annotations/", json=body)
        made.append((int(new["id"]), str(new.get("updated_at") or "")))
        draft = next((number for number, result in drafts.items() if result == one["result"]), None)
        if draft is not None:
            del drafts[draft]
            _gone_is_fine(client, "DELETE", f"/api/drafts/{draft}/")
    return made


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
