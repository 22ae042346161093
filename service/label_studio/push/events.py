"""The webhook by which Label Studio sends events to this service."""

from typing import Any

from service.label_studio.client import LabelStudio
from service.label_studio.projects import backend_path
from service.label_studio.session import Refused
from service.services import Services
from service.store import connections
from service.store.pulls import Pull

_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
)


def subscribe(services: Services, client: LabelStudio, pull: Pull, project: int | None) -> str | None:
    """Register this service's webhook for a project; returns "asked", or why the tool refuses it.

    Returns None without SUSPECTS_PUBLIC_URL, then changes are found by the regular reconciling. Repeatable.
    """
    base = services.settings.public_url
    if not base or pull.connection_id is None or project is None:
        return None
    with services.database.read() as connection:
        encrypted = connections.get_encrypted(connection, pull.connection_id)
    if encrypted is None:
        return None
    secret = services.vault.open(encrypted.path_secret)
    client.redact(secret)
    url = f"{base}{backend_path(pull.connection_id, secret)}/webhook"
    ours = f"{base}{backend_path(pull.connection_id, '')}"
    found: list[dict[str, Any]] = client.request("GET", "/api/webhooks/", params={"project": project}) or []
    old = [one for one in found if str(one.get("url")).startswith(ours) and one.get("project") == project]
    for one in old:
        if one["url"] != url:
            client.request("DELETE", f"/api/webhooks/{one['id']}/")
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
        client.request("POST", "/api/webhooks/", json=body)
    except Refused as error:
        return error.detail
    return "asked"
