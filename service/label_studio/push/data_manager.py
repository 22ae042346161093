"""The tab of suspects in Label Studio's Data Manager, and links to it."""

from collections.abc import Callable

import sqlalchemy as sa

from service.label_studio.client import LabelStudio
from service.platforms.label_studio import task_number
from service.services import Services
from service.store import connections, pulls
from service.store.jobs import Job


def project_url(url: str, project: int, view: int | None) -> str:
    """URL of a project's page, or of a tab of it."""
    return f"{url}/projects/{project}/data{'' if view is None else f'?tab={view}'}"


def task_links(services: Services, job: Job) -> Callable[[str], str | None]:
    """Function from a sample's id to the URL of its task; None for samples that did not come from a tool."""
    with services.database.read() as connection:
        return task_links_in(connection, job) or (lambda _: None)


def task_links_in(connection: sa.Connection, job: Job) -> Callable[[str], str | None] | None:
    """The same over a connection that is open; None where no sample came from a tool that is still connected."""
    pull = pulls.get(connection, job.id)
    if pull is None or pull.connection_id is None:
        return None
    known = connections.get(connection, pull.connection_id)
    if known is None:
        return None
    pushed = pulls.get_push(connection, job.id)
    start = project_url(known.url, pull.project, pushed.state.get("view") if pushed is not None else None)
    start += "&task=" if "?" in start else "?task="

    def url_of(sample_id: str) -> str | None:
        task = task_number(sample_id)
        return None if task is None else f"{start}{task}"

    return url_of


def save_tab(client: LabelStudio, project: int, job: Job, version: str) -> int:
    """Create or update the tab of a job; returns its number."""
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
    found = client.request("GET", "/api/dm/views/", params={"project": project}) or []
    mine = [one for one in found if (one.get("data") or {}).get("title") == title]
    if not mine:
        return int(client.request("POST", "/api/dm/views/", json={"project": project, "data": data})["id"])
    number, held = int(mine[0]["id"]), mine[0]["data"]
    if any(held.get(name) != value for name, value in data.items()):
        body = {"project": project, "data": {**held, **data}}
        client.request("PATCH", f"/api/dm/views/{number}/", params={"project": project}, json=body)
    return number
