"""Client of Label Studio's HTTP API, for pull, push and reconcile. Tested with 1.23."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx
import tenacity

from service.domain.connection import ConnectionCheck, TokenKind
from service.domain.errors import Upstream
from service.label_studio.auth import token_auth
from service.outbound.transport import AddressRule, PinnedTransport

_PAGE = 500  # tasks per page; 1,000 take half a minute on a busy server
_BATCH = 1_000  # predictions or tasks per request
_TRIES = 5
_LONGEST_PAUSE_S = 20
# Large projects need minutes for a page or a batch.
_TIMEOUT = httpx.Timeout(connect=10, read=300, write=300, pool=300)
_BUSY = frozenset({429, 502, 503, 504})
_NOT_PROCESSED = frozenset({429, 503})  # the server did not process the request
_REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
_MAX_FILE_BYTES = 64 * 2**20
_REDIRECTS = 5
_STORES = ("s3://", "s3s://", "gs://", "azure-blob://")


@dataclass(frozen=True)
class _Response:
    """A response with its whole body; `location` is the target of a redirect."""

    status: int
    content: bytes
    location: str | None

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class _Busy(Exception):
    """The server is busy; the request may be tried again."""

    def __init__(self, answer: _Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Refused(Upstream):
    """The tool answered with an error or with unexpected content; `status` is the HTTP status."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class LabelStudio:
    """One server with one token. Methods raise Upstream when it cannot be reached, Refused for an error answer.

    `pause` is the first pause between tries, in seconds. With a `timeout` in seconds for each step there is one try.
    """

    def __init__(
        self, url: str, token: str, *, allow_private: bool, pause: float = 1.0, timeout: float | None = None
    ) -> None:
        self.url, self._pause = url, pause
        self._tries = _TRIES if timeout is None else 1
        self._auth = token_auth(token, url)
        self._redacted: list[str] = []
        self._client = httpx.Client(
            transport=PinnedTransport(AddressRule(allow_private, "SUSPECTS_ALLOW_PRIVATE_CONNECTIONS")),
            timeout=_TIMEOUT if timeout is None else timeout,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "usual-suspects"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def redact(self, secret: str) -> None:
        """Leave this text out of error messages, like the token: the tool may repeat what it was sent."""
        self._redacted.append(secret)

    @property
    def token_kind(self) -> TokenKind:
        """Kind of the token."""
        return self._auth.kind

    def check(self) -> ConnectionCheck:
        """Check the connection; returns the token's user, the server's version and the number of projects."""
        user = self._object("GET", "/api/current-user/whoami")
        listed = self._object("GET", "/api/projects/", params={"page_size": 1})
        try:
            who = str(user.get("email") or user["username"])
            return ConnectionCheck(user=who, version=self._version(), projects=int(listed["count"]))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"{self.url} answers, but not as Label Studio does", HTTPStatus.OK) from error

    def _version(self) -> str | None:
        try:
            found = self._object("GET", "/api/version").get("release")
        except Refused:
            return None
        return None if found is None else str(found)

    def project(self, number: int) -> dict[str, Any]:
        """One project, as the API has it."""
        return self._object("GET", f"/api/projects/{number}/")

    def tasks(self, project: int, only: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """All tasks with their annotations in pages; `only` selects fields, separated by commas."""
        page, got = 1, 0
        while True:
            params: dict[str, Any] = {"project": project, "page": page, "page_size": _PAGE, "fields": "all"}
            if only is not None:
                params["include"] = only
            try:
                found = self._object("GET", "/api/tasks/", params=params)
            except Refused as error:
                if error.status == HTTPStatus.NOT_FOUND and page > 1:
                    return  # the page is past the end
                raise
            tasks: list[dict[str, Any]] = found.get("tasks") or []
            if not tasks:
                return
            yield tasks
            page, got = page + 1, got + len(tasks)
            if got >= int(found.get("total") or 0):
                return

    def fingerprint(self, project: int) -> str:
        """A short text that changes with a project: numbers of tasks and annotations, time of the last update."""
        ordering = json.dumps({"ordering": ["-tasks:updated_at"]})
        params = {"project": project, "page": 1, "page_size": 1, "include": "id,updated_at", "query": ordering}
        found = self._object("GET", "/api/tasks/", params=params)
        newest = [task.get("updated_at") for task in found.get("tasks") or []]
        return json.dumps([found.get("total"), found.get("total_annotations"), newest])

    def download(self, address: str, task: int) -> bytes:
        """The content of a file in a task's data: an upload, a file in cloud storage, a data URI or any URL.

        The token is sent to this server only. Raises Invalid for a URL at a private address.
        """
        try:
            return self._download(address, task)
        except ValueError as error:  # of urlsplit, or of encoding the address
            raise Refused("its address is not a URL", HTTPStatus.OK) from error

    def _download(self, address: str, task: int) -> bytes:
        if address.startswith("data:"):
            return _inline(address)
        if address.startswith(_STORES):
            encoded = base64.urlsafe_b64encode(address.encode()).decode()
            return self._fetch(f"{self.url}/tasks/{task}/resolve/?fileuri={encoded}")
        if address.startswith(("http://", "https://")):
            return self._fetch(address)
        return self._fetch(f"{self.url}/{address.lstrip('/')}")

    def _fetch(self, address: str) -> bytes:
        for _ in range(_REDIRECTS + 1):
            own = _origin(address) == _origin(self.url)
            answer = self._send("GET", address, with_token=own, most=_MAX_FILE_BYTES)
            if answer.location is None:
                if not answer.is_success:
                    raise self._refusal(answer, "the file")
                return answer.content
            address = urljoin(address, answer.location)
        raise Refused(f"more than {_REDIRECTS} redirects", answer.status)

    def add_predictions(self, project: int, predictions: Sequence[dict[str, Any]]) -> None:
        """Import predictions in bulk. The bulk import drops `mislabeling` and `neighbors`."""
        for start in range(0, len(predictions), _BATCH):
            batch = list(predictions[start : start + _BATCH])
            self.request("POST", f"/api/projects/{project}/import/predictions", json=batch)

    def add_tasks(self, project: int, tasks: Sequence[dict[str, Any]]) -> None:
        """Import tasks, in order."""
        for start in range(0, len(tasks), _BATCH):
            self.request("POST", f"/api/projects/{project}/import", json=list(tasks[start : start + _BATCH]))

    def model_versions(self, project: int) -> dict[str, int]:
        """Number of predictions by model version."""
        found = self._object("GET", f"/api/projects/{project}/model-versions/")
        return {name: int(count) for name, count in found.items() if isinstance(count, int)}

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send one request; returns the JSON of the answer, None for an empty answer."""
        answer = self._send(method, f"{self.url}{path}", **options)
        if not answer.is_success:
            raise self._refusal(answer, path)
        if not answer.content:
            return None
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise Refused(
                f"{self.url} answered {path} with no JSON; is this Label Studio's address?", answer.status
            ) from error

    def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found = self.request(method, path, **options)
        if not isinstance(found, dict):
            raise Refused(f"{self.url} answered {path} with JSON that is not an object", HTTPStatus.OK)
        return found

    def _send(
        self, method: str, address: str, *, with_token: bool = True, most: int | None = None, **options: Any
    ) -> _Response:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Busy, httpx.TransportError)),
            wait=tenacity.wait_exponential(self._pause, _LONGEST_PAUSE_S) + tenacity.wait_random(0, self._pause),
            stop=tenacity.stop_after_attempt(self._tries),
            reraise=True,
        )
        try:
            return retrying(self._once, method, address, with_token, most, options)
        except _Busy as busy:
            return busy.answer
        except httpx.TimeoutException as error:
            raise Upstream(f"{_server(address)} did not answer {method} {_path(address)} in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Upstream(f"{_server(address)} could not be reached: {type(error).__name__}") from error

    def _once(
        self, method: str, address: str, with_token: bool, most: int | None, options: dict[str, Any]
    ) -> _Response:
        try:
            answer = self._read(method, address, with_token, most, options)
        except httpx.ConnectError:
            raise
        except httpx.TransportError as error:
            # The server may have processed it: a request that adds something is not sent twice.
            if method in _REPEATABLE:
                raise
            server, reason = _server(address), type(error).__name__
            raise Upstream(f"{server} did not answer {method} {_path(address)}: {reason}") from error
        if answer.status in (_BUSY if method in _REPEATABLE else _NOT_PROCESSED):
            raise _Busy(answer)
        return answer

    def _read(
        self, method: str, address: str, with_token: bool, most: int | None, options: dict[str, Any]
    ) -> _Response:
        auth, content = self._auth if with_token else None, bytearray()
        with self._client.stream(method, address, auth=auth, **options) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if most is not None and len(content) > most:
                    raise Refused(f"a file of more than {most:,} bytes", response.status_code)
        location = response.headers["Location"] if response.has_redirect_location else None
        return _Response(response.status_code, bytes(content), location)

    def _refusal(self, answer: _Response, what: str) -> Refused:
        if answer.location is not None:
            # The token is sent to the configured address only.
            where = _server(urljoin(self.url, answer.location))
            return Refused(f"{self.url} redirects to {where}; give that address", answer.status)
        reason = ""
        try:
            body = json.loads(answer.content)
            if isinstance(body, dict):
                parts = [body.get("detail"), body.get("validation_errors")]
                reason = "; ".join(str(part) for part in parts if part)
                for secret in (*self._auth.secrets, *self._redacted):
                    reason = reason.replace(secret, "…")
                reason = reason[:300]
        except ValueError:
            pass
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Refused(
                f"{self.url} refuses the token ({answer.status}): {reason or 'no reason given'}", answer.status
            )
        return Refused(f"{self.url} answered {answer.status} to {what}{f': {reason}' if reason else ''}", answer.status)


def _server(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _path(address: str) -> str:
    return urlsplit(address).path


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _inline(address: str) -> bytes:
    head, _, data = address.partition(",")
    try:
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else data.encode()
    except ValueError as error:
        raise Refused("a data URI that is no base 64", HTTPStatus.OK) from error
