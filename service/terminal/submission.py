"""Submission of a job: its samples from a file, a URL, a stored dataset or a project of a labelling tool."""

import re
from pathlib import Path
from typing import Any

from usual_suspects.client import ApiError, Client

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATASET = re.compile(r"ds_\w+")

Body = dict[str, Any]


def submit_source(client: Client, source: str, body: Body) -> dict[str, Any]:
    """Submit a job over a file, an http or https URL, or the id of a dataset; the job. Raises ApiError.

    `body` is that of POST /jobs; its part `dataset` says what is known of a file: label, id, split and others.
    """
    spec = body.get("dataset") or {}
    others = {name: value for name, value in body.items() if name != "dataset"}
    if is_dataset(source):
        if spec:
            raise ApiError("A stored dataset", f"{source} was read already: {_named(spec)} cannot be changed for it")
        return client.post_json({**others, "dataset": source}, "jobs")
    if is_url(source):
        return client.post_json({**others, "dataset": upload_source(client, source, spec)["id"]}, "jobs")
    return client.post_file(Path(source), body, "jobs")


def submit_project(client: Client, connection: str, project: int, body: Body) -> dict[str, Any]:
    """Submit a job over the labelled tasks of a project of a connected labelling tool; the job. Raises ApiError."""
    if spec := body.get("dataset"):
        raise ApiError("A connected project", f"the tool says what its tasks are: leave {_named(spec)} out")
    return client.post_json({**body, "connection": connection, "project": project}, "jobs")


def upload_source(client: Client, source: str, spec: Any) -> dict[str, Any]:
    """Upload a file, or have the service fetch a URL; the dataset. Raises ApiError."""
    if is_url(source):
        return client.post_json({"url": source, **({"spec": spec} if spec else {})}, "datasets")
    return client.post_file(Path(source), spec, "datasets")


def is_url(source: str) -> bool:
    """Whether a source is to be fetched by the service."""
    return _URL.match(source) is not None


def is_dataset(source: str) -> bool:
    """Whether a source is the id of a dataset. A file of such a name is meant where there is one."""
    return _DATASET.fullmatch(source) is not None and not Path(source).exists()


def put(body: Body, part: str, **given: Any) -> None:
    """Set the given values in one part of the body. The API refuses a part that is not an object."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen:
        before = body.get(part)
        body[part] = {**(before if isinstance(before, dict) else {}), **chosen}


def _named(spec: Any) -> str:
    return ", ".join(spec) if isinstance(spec, dict) else "dataset"
