"""Connections to Label Studio, and its projects."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, FieldError, NotFound, invalid
from service.label_studio.client import LabelStudio
from service.label_studio.session import Refused
from service.platforms.label_studio import Control, choose_control, parse_config
from service.services import Services
from service.store import connections, pulls

_LONGEST_NAME = 200


def connect(services: Services, connection_id: str | None, *, timeout: float | None = None) -> LabelStudio:
    """Client of a stored connection. With a `timeout` in seconds for each step it tries once, and does not retry.

    Raises NotFound, and Conflict for a connection that was deleted.
    """
    if connection_id is None:
        raise Conflict("the connection that the tasks came from was deleted", members={"state": "disconnected"})
    with services.database.read() as connection:
        found = connections.get_encrypted(connection, connection_id)
    if found is None:
        msg = f"no connection {connection_id}"
        raise NotFound(msg, errors=[FieldError(loc=["connection"], msg=msg)])
    allowed = services.settings.allow_private_connections
    return LabelStudio(found.shown.url, services.vault.open(found.token), allow_private=allowed, timeout=timeout)


def find_project(client: LabelStudio, number: int) -> dict[str, Any]:
    """A project that a request names. Raises Invalid for an unknown project, Upstream for tool errors."""
    try:
        return client.project(number)
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        msg = f"{client.url} shows no project {number} to this token"
        raise invalid(["project"], msg) from error


def read_control(config: str, from_name: str | None) -> Control:
    """The Choices tag of the class, from a label config in XML. Raises Invalid."""
    return choose_control(parse_config(config), from_name)


def placeholder(dataset_id: str, job_id: str, title: str, control: Control, now: datetime) -> DatasetInfo:
    """The dataset of a job whose tasks are not read yet. Raises Invalid for inputs that no model takes."""
    modality = control.modality
    if modality is None:
        raise invalid(["project"], f"no model takes {control.input_tag}")
    name = title[:_LONGEST_NAME] or "label studio"
    return pulls.placeholder_dataset(dataset_id, job_id, name, modality, control.classes, now)


def backend_path(connection_id: str, secret: str) -> str:
    """Path of the URLs that the tool calls at this service."""
    return f"/ls/{connection_id}.{secret}"
