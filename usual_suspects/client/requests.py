"""Requests to the API as values: what both clients send."""

import ipaddress
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from usual_suspects.client.errors import NotFound

# Uploads and exports of large sets take minutes; only connecting is expected to be quick.
CONNECT_S, READ_S = 10.0, 600.0
# The service sends a sign of life every 15 seconds. A stream is opened anew before that, so that a time limit is kept.
EVENTS_S = 12.0


@dataclass(frozen=True)
class Request:
    """One request. `path` is quoted; a `file` is sent as multipart together with the fields of `form`.

    One that is `repeatable` has the same effect when it is sent twice.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    file: Path | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def options(self, stream: Any = None) -> dict[str, Any]:
        """Arguments for httpx; `stream` is the opened file."""
        found: dict[str, Any] = {"params": self.query, "headers": dict(self.headers)}
        if self.file is not None:
            found |= {"files": {"file": (self.file.name, stream)}, "data": dict(self.form)}
        elif self.body is not None:
            found["json"] = self.body
        return found


def path_of(parts: Sequence[str]) -> str:
    """The path of a resource; its parts are quoted. Raises NotFound for an empty one, which would name another resource."""
    if not all(parts):
        shown = "/".join(part or "…" for part in parts)
        raise NotFound("The id is empty", f"/{shown}: give the id of what is meant")
    # httpx would leave out a part of dots.
    return "/" + "/".join(quote(part, safe="") if part.strip(".") else part.replace(".", "%2E") for part in parts)


def get(*path: str, **query: Any) -> Request:
    """GET; a query that is None is left out."""
    return Request("GET", path_of(path), {name: value for name, value in query.items() if value is not None})


def delete(*path: str) -> Request:
    """DELETE."""
    return Request("DELETE", path_of(path))


def put(body: Any, *path: str) -> Request:
    """PUT a JSON body."""
    return Request("PUT", path_of(path), body=body)


def act(*path: str, body: Any = None) -> Request:
    """POST to a resource that takes no idempotency key; it is sent again only where it cannot have arrived."""
    return Request("POST", path_of(path), body=body, repeatable=False)


def create(body: Any, *path: str, key: str | None = None) -> Request:
    """POST a JSON body that makes a resource, once, however often it is sent."""
    return Request("POST", path_of(path), body=body, headers=_once(key))


def upload(file: Path, spec: Mapping[str, Any] | None, *path: str, key: str | None = None) -> Request:
    """POST a file, with what is known of it, that makes a resource, once."""
    form = {} if spec is None else {"spec": json.dumps(spec)}
    return Request("POST", path_of(path), file=file, form=form, headers=_once(key))


def events(job: str, last: str) -> Request:
    """The events of a job after the one of the id `last`."""
    return Request("GET", path_of(("jobs", job, "events")), headers={"Last-Event-ID": last} if last else {})


def is_local(url: str) -> bool:
    """Whether an address leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid.uuid4())}
