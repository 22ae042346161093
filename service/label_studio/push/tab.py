"""The Data Manager's tab of suspects, its address, and the webhook that tells of changes."""

from collections.abc import Callable
from typing import Any

from service.label_studio.client import LabelStudio, Refused
from service.label_studio.projects import backend_path
from service.platforms.label_studio import task_number
from service.services import Services
from service.store import connections, pulls
from service.store.jobs import Job
from service.store.pulls import Pull

_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)


def link(url: str, project: int, view: int | None) -> str:
    """Where a project, or a tab of it, is looked at."""
    return f"{url}/projects/{project}/data{'' if view is None else f'?tab={view}'}"


def task_links(services: Services, job: Job) -> Callable[[str], str | None]:
    """Where a reviewer finds the task that a sample is; None for samples that came from no tool."""
    with services.database.read() as connection:
        pull = pulls.get(connection, job.id)
        known = None if pull is None or pull.connection_id is None else connections.get(connection, pull.connection_id)
        pushed = None if known is None else pulls.get_push(connection, job.id)
    if pull is None or known is None:
        return lambda _: None
    start = link(known.url, pull.project, pushed.state.get("view") if pushed is not None else None)
    start += "&task=" if "?" in start else "?task="

    def found(sample_id: str) -> str | None:
        task = task_number(sample_id)
        return None if task is None else f"{start}{task}"

    return found


def keep_tab(client: LabelStudio, project: int, job: Job, version: str) -> int:
    """Make the tab, or put the one that is there into order; gives its number."""
    title = f"Suspects {job.id}"
    data = {
        "title": title,
        "type": "list",
        "target": "tasks",
        "ordering": ["-tasks:predictions_score"],
        "filters": {
            "conjunction": "and",
            "items": [
                {
                    "filter": "filter:tasks:predictions_model_versions",
                    "operator": "contains",
                    "type": "String",
                    "value": version,
                }
            ],
        },
    }
    found = client.ask("GET", "/api/dm/views/", params={"project": project}) or []
    mine = [one for one in found if (one.get("data") or {}).get("title") == title]
    if not mine:
        return int(client.ask("POST", "/api/dm/views/", json={"project": project, "data": data})["id"])
    number, held = int(mine[0]["id"]), mine[0]["data"]
    if any(held.get(name) != value for name, value in data.items()):
        body = {"project": project, "data": {**held, **data}}
        client.ask("PATCH", f"/api/dm/views/{number}/", params={"project": project}, json=body)
    return number


def listen(services: Services, client: LabelStudio, pull: Pull, project: int | None) -> str | None:
    """Ask the tool to tell of changes in a project; gives "asked", or why it will not.

    It is asked once for each address; what it does not tell is found by reconciling.
    """
    base = services.settings.public_url
    if not base or pull.connection_id is None or project is None:
        return None
    with services.database.read() as connection:
        sealed = connections.get_encrypted(connection, pull.connection_id)
    if sealed is None:
        return None
    secret = services.vault.open(sealed.path_secret)
    client.hide(secret)
    url = f"{base}{backend_path(pull.connection_id, secret)}/webhook"
    ours = f"{base}{backend_path(pull.connection_id, '')}"
    found: list[dict[str, Any]] = client.ask("GET", "/api/webhooks/", params={"project": project}) or []
    old = [one for one in found if str(one.get("url")).startswith(ours) and one.get("project") == project]
    for one in old:
        if one["url"] != url:
            client.ask("DELETE", f"/api/webhooks/{one['id']}/")
    if any(one["url"] == url for one in old):
        return "asked"
    body = {
        "url": url,
        "project": project,
        "send_payload": True,
        "send_for_all_actions": False,
        "actions": list(_ACTIONS),
        "is_active": True,
    }
    try:
        client.ask("POST", "/api/webhooks/", json=body)
    except Refused as error:
        return error.detail
    return "asked"
