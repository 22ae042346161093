"""HTTP client of the service's REST API; the command line uses it, too."""

import ipaddress
import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
from httpx_sse import ServerSentEvent, SSEError, connect_sse

from usual_suspects.files import atomic_write

ENDED = ("completed", "failed", "cancelled")
_FAILURES = 5
_PAUSE_S = 1.0


class ApiError(Exception):
    """The service answered with an error, or could not be reached.

    `errors`: faults of single fields, each with `loc` and `msg`.
    """

    def __init__(self, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(f"{title}: {detail}")
        self.title, self.detail, self.errors = title, detail, errors or []


@dataclass(frozen=True)
class Update:
    """One event of a watched job. `kind` is state, progress or metrics (of one epoch); `data` as in GET /jobs/{id}/events."""

    kind: str
    data: dict[str, Any]


class Client:
    """Client of the service at `url`, with an API key where it asks for one. Use it in a `with` block, or close it.

    Raises ApiError for a URL that is none.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url.rstrip("/")
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                # Uploads and exports of large sets take minutes; only connecting is expected to be quick.
                timeout=httpx.Timeout(600, connect=10),
                # No proxy of the environment leads to this machine.
                trust_env=not is_local(self.url),
            )
        except (ValueError, httpx.InvalidURL) as error:
            raise ApiError("Not an address", f"{url}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, *path: str, **query: Any) -> dict[str, Any]:
        """GET a JSON object; `path` are the parts of the path, unquoted. Raises ApiError."""
        return self._json("GET", _path(path), params=_given(query))

    def post(self, *path: str) -> dict[str, Any]:
        """POST without a body; the answer as a JSON object. Raises ApiError."""
        return self._json("POST", _path(path))

    def post_json(self, body: Any, *path: str) -> dict[str, Any]:
        """POST a JSON body; the answer as a JSON object. Raises ApiError."""
        return self._json("POST", _path(path), json=body)

    def delete(self, *path: str) -> None:
        """DELETE. Raises ApiError."""
        self._json("DELETE", _path(path))

    def submit(self, file: Path, spec: dict[str, Any]) -> dict[str, Any]:
        """Upload a file and submit a job on it, in one request; the job. Raises ApiError."""
        return self._upload("/jobs", file, {"spec": json.dumps(spec)})

    def upload_dataset(self, file: Path, spec: dict[str, Any]) -> dict[str, Any]:
        """Upload a file; the dataset that was read from it. `spec` as in POST /datasets. Raises ApiError."""
        return self._upload("/datasets", file, {"spec": json.dumps(spec)})

    def upload_network(self, file: Path) -> dict[str, Any]:
        """Upload weights or an exported program; the network. Raises ApiError."""
        return self._upload("/networks", file, {})

    def _upload(self, path: str, file: Path, data: dict[str, str]) -> dict[str, Any]:
        try:
            with file.open("rb") as stream:
                return self._json("POST", path, files={"file": (file.name, stream)}, data=data)
        except OSError as error:
            raise ApiError("Cannot read the file", f"{file}: {error.strerror}") from error

    def watch(self, job_id: str) -> Iterator[Update]:
        """Events of a job until it ends. Raises ApiError.

        A broken stream is resumed at the last event. Where no stream comes through, the job is polled instead.
        """
        last, failures = "", 0
        while True:
            received = False
            try:
                for event in self._events(job_id, last):
                    received, last = True, event.id or last
                    update = Update(event.event, event.json())
                    yield update
                    if update.data.get("state") in ENDED:
                        return
                failures = 0
            except SSEError:
                failures = 0
            except httpx.TransportError as error:
                failures = 0 if received else failures + 1
                if failures > _FAILURES:
                    raise self._unreachable(error) from error
            if not received and failures == 0:
                job = self.get("jobs", job_id)
                yield Update("progress", job["progress"])
                if job["state"] in ENDED:
                    yield Update("state", {"state": job["state"]})
                    return
            time.sleep(_PAUSE_S)

    def save(self, output: Path, *path: str, **query: Any) -> None:
        """GET into a file, streamed; the file appears when it is complete. Raises ApiError."""
        blocks = self.stream(*path, **query)
        try:
            first = next(blocks, b"")  # an error of the service leaves no file
            with atomic_write(output) as part, part.open("wb") as file:
                file.write(first)
                file.writelines(blocks)
        except OSError as error:
            raise ApiError("Cannot write the file", f"{output}: {error.strerror}") from error

    def corrected(
        self,
        job_id: str,
        path: Path | None = None,
        *,
        form: str = "original",
        apply: str = "reviews",
        columns: Sequence[str] = (),
    ) -> bytes | None:
        """The dataset of a completed job with the labels that people corrected, in the form it came in.

        It is written to `path`, where there is one, and given back otherwise. `form` is original, csv, parquet, jsonl, manifest or
        zip; with `apply` suggestions, flagged samples that nobody reviewed get the suggested label. `columns` to add are
        previous_label and reviewed_by. The corrected dataset is made unless it is there. Raises ApiError.
        """
        version = self.corrected_version(job_id, apply)
        query = {"format": form, "columns": ",".join(columns) or None}
        if path is None:
            return b"".join(self.stream("datasets", version["id"], "download", **query))
        self.save(path, "datasets", version["id"], "download", **query)
        return None

    def corrected_version(self, job_id: str, apply: str = "reviews") -> dict[str, Any]:
        """The corrected dataset of a completed job, made unless the same is there. Raises ApiError."""
        dataset = self.get("jobs", job_id)["spec"]["dataset"]
        return self.post_json({"job": job_id, "apply": apply}, "datasets", dataset, "versions")

    def stream(self, *path: str, **query: Any) -> Generator[bytes]:
        """GET a file in pieces. Raises ApiError."""
        with self._connection_errors(), self._http.stream("GET", _path(path), params=_given(query)) as answer:
            _check(answer)
            yield from answer.iter_bytes()

    def _events(self, job_id: str, last: str) -> Iterator[ServerSentEvent]:
        headers = {"Last-Event-ID": last} if last else {}
        with connect_sse(self._http, "GET", _path(("jobs", job_id, "events")), headers=headers) as source:
            _check(source.response)
            # A comment that keeps the stream open counts as an event without data, once an event had an id.
            yield from (event for event in source.iter_sse() if event.data)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._connection_errors():
            answer = self._http.request(method, path, **options)
        _check(answer)
        try:
            result: dict[str, Any] = answer.json() if answer.content else {}
        except ValueError as error:
            raise ApiError("Not this service", f"{self.url} answers, but not with JSON") from error
        return result

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.TransportError) -> ApiError:
        advice = "Start one with `suspects up`, or name it with --url"
        return ApiError("Cannot reach the service", f"{self.url}: {error}. {advice}")


def _path(parts: tuple[str, ...]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def is_local(url: str) -> bool:
    """Whether an address leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    problem: dict[str, Any] = {"detail": answer.text[:500]}
    with suppress(ValueError):
        body = answer.json()
        problem = body if isinstance(body, dict) else problem
    title = problem.get("title") or f"{answer.status_code} {answer.reason_phrase}"
    raise ApiError(title, problem.get("detail") or "", problem.get("errors"))
