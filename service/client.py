"""The REST API from Python: what the command line is built on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse

_ENDED = ("completed", "failed", "cancelled")


class ApiError(Exception):
    """A problem that the service told, or that it could not be reached. `errors` names what to mend."""

    def __init__(self, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(f"{title}: {detail}")
        self.title, self.detail, self.errors = title, detail, errors or []


@dataclass(frozen=True)
class Update:
    """One thing that a watched job told: its state, its progress, or the metrics of an epoch."""

    kind: str
    data: dict[str, Any]


class Client:
    """One service, one key."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Uploads and exports of large sets take minutes; only connecting is expected to be quick.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(600, connect=10))
        self.url = url

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET as JSON. Raises ApiError."""
        return self._json("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """POST JSON. Raises ApiError."""
        return self._json("POST", path, json=body)

    def delete(self, path: str) -> None:
        """DELETE. Raises ApiError."""
        self._json("DELETE", path)

    def submit(self, file: Path, spec: dict[str, Any]) -> dict[str, Any]:
        """Upload a file and queue a job on it, in one request. Raises ApiError."""
        try:
            with file.open("rb") as stream:
                return self._json("POST", "/jobs", files={"file": (file.name, stream)}, data={"spec": json.dumps(spec)})
        except OSError as error:
            raise ApiError("Cannot read the file", f"{file}: {error.strerror}") from error

    def watch(self, job_id: str) -> Iterator[Update]:
        """What happens to a job until it ends; a connection that breaks is taken up where it was."""
        last, failures = "", 0
        while True:
            try:
                for event in self._events(job_id, last):
                    last, failures = event.id or last, 0
                    update = Update(event.event, event.json())
                    yield update
                    if update.kind == "state" and update.data.get("state") in _ENDED:
                        return
            except httpx.TransportError as error:
                failures += 1
                if failures > 5:
                    raise ApiError("Cannot reach the service", f"{self.url}: {error}") from error
            job = self.get(f"/jobs/{job_id}")
            if job["state"] in _ENDED:
                yield Update("state", {"state": job["state"], "error": job["error"]})
                return

    def export(self, job_id: str, form: str, output: Path, **query: Any) -> None:
        """Write a whole ranking to a file as it comes. Raises ApiError."""
        params = {"format": form, **{name: value for name, value in query.items() if value is not None}}
        try:
            with self._http.stream("GET", f"/jobs/{job_id}/suspects", params=params) as answer, output.open("wb") as file:
                if answer.is_error:
                    answer.read()
                _check(answer)
                for part in answer.iter_bytes():
                    file.write(part)
        except httpx.TransportError as error:
            raise ApiError("Cannot reach the service", f"{self.url}: {error}") from error

    def _events(self, job_id: str, last: str) -> Iterator[ServerSentEvent]:
        headers = {"Last-Event-ID": last} if last else {}
        with connect_sse(self._http, "GET", f"/jobs/{job_id}/events", headers=headers) as source:
            if source.response.is_error:
                source.response.read()
            _check(source.response)
            yield from source.iter_sse()

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ApiError("Cannot reach the service", f"{self.url}: {error}. Is it running? `suspects up`") from error
        _check(answer)
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result


def _check(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:500]}
    title = problem.get("title") or f"{answer.status_code} {answer.reason_phrase}"
    raise ApiError(title, problem.get("detail") or "", problem.get("errors"))
