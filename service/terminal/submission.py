"""Submission of a job: its samples from a file, a URL, a stored dataset or a project of a labelling tool."""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from usual_suspects.client import ApiError, Client, UnsuitableData
from usual_suspects.client.submissions.folders import write_folder

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATASET = re.compile(r"ds_\w+")

Body = dict[str, Any]


def submit_source(client: Client, source: str, body: Body) -> dict[str, Any]:
    """Submit a job over a file, a folder, an http or https URL, or the id of a dataset; the job. Raises ApiError.

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
    with _file_of(source) as file:
        return client.post_file(file, body, "jobs")


def submit_project(client: Client, connection: str, project: int, body: Body) -> dict[str, Any]:
    """Submit a job over the labelled tasks of a project of a connected labelling tool; the job. Raises ApiError."""
    if spec := body.get("dataset"):
        raise ApiError("A connected project", f"the tool says what its tasks are: leave {_named(spec)} out")
    return client.post_json({**body, "connection": connection, "project": project}, "jobs")


def upload_source(client: Client, source: str, spec: Any) -> dict[str, Any]:
    """Upload a file or a folder, or have the service fetch a URL; the dataset. Raises ApiError."""
    if is_url(source):
        return client.post_json({"url": source, **({"spec": spec} if spec else {})}, "datasets")
    with _file_of(source) as file:
        return client.post_file(file, spec, "datasets")


@contextmanager
def standard_input() -> Iterator[Path]:
    """A file of what the standard input has. Raises ApiError at a terminal. Tools of agents have their messages there."""
    if sys.stdin.isatty():
        raise ApiError("Nothing to read", "- is the standard input, which is a terminal: send a file there, or name it")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "stdin")
        with path.open("wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out)
        yield path


@contextmanager
def _file_of(source: str) -> Iterator[Path]:
    """The file to upload: a file itself, a folder as a ZIP. Raises ApiError."""
    with tempfile.TemporaryDirectory() as scratch:
        if not source.strip():
            raise ApiError("No path", "the path is empty: name a file, a folder, a URL or a dataset")
        elif Path(source).is_dir():
            try:
                yield write_folder(Path(source), Path(scratch)).file
            except UnsuitableData as error:
                raise ApiError("Cannot read the folder", str(error)) from error
        else:
            yield Path(source)


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
