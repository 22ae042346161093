"""Label Studio's HTTP API, as much of it as pull, push and reconcile need; proved against 1.23."""

import base64
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import tenacity

from service.domain.connection import Seen, TokenKind
from service.domain.errors import Upstream
from service.label_studio.wire import Pinned, authorisation

_PAGE = 500  # tasks a page; 1,000 take half a minute on a busy server
_BATCH = 1_000  # predictions a request
_TRIES = 5
_LONGEST_PAUSE_S = 20
# Big projects take minutes for a page or a batch.
_PATIENCE = httpx.Timeout(connect=10, read=300, write=300, pool=300)
_BUSY = frozenset({429, 502, 503, 504})
_UNTOUCHED = frozenset({429, 503})  # whoever answers so has not done it
_REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})
_MOST_OF_A_FILE = 64 * 2**20
_STORES = ("s3://", "s3s://", "gs://", "azure-blob://")


class _Busy(Exception):
    """Worth another try."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Refused(Upstream):
    """The tool answered, but not with what was asked for; `status` is what it answered."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class LabelStudio:
    """One server, with one token. Raises Upstream when it cannot be reached, Refused when it refuses."""

    def __init__(self, url: str, token: str, *, allow_private: bool, pause: float = 1.0) -> None:
        self.url, self._token, self._pause = url, token, pause
        self._auth = authorisation(token, url)
        self._client = httpx.Client(
            transport=Pinned(allow_private=allow_private),
            timeout=_PATIENCE,
            trust_env=False,
            follow_redirects=True,
            max_redirects=5,
            headers={"User-Agent": "usual-suspects"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @property
    def token_kind(self) -> TokenKind:
        """Which kind the token is."""
        return self._auth.kind

    def seen(self) -> Seen:
        """Who the token belongs to and what it can see."""
        user = self.ask("GET", "/api/current-user/whoami")
        listed = self.ask("GET", "/api/projects/", params={"page_size": 1})
        return Seen(user=str(user.get("email") or user["username"]), version=self._version(), projects=listed["count"])

    def _version(self) -> str | None:
        try:
            found = self.ask("GET", "/api/version")
            return str(found["release"])
        except (Refused, KeyError, TypeError):
            return None

    def project(self, number: int) -> dict[str, Any]:
        """A project."""
        return self._object("GET", f"/api/projects/{number}/")

    def tasks(self, project: int) -> Iterator[list[dict[str, Any]]]:
        """Every task with its annotations, in pages. A page past the end is a 404."""
        page, got = 1, 0
        while True:
            params = {"project": project, "page": page, "page_size": _PAGE, "fields": "all"}
            try:
                found = self._object("GET", "/api/tasks/", params=params)
            except Refused as error:
                if error.status == HTTPStatus.NOT_FOUND and page > 1:
                    return
                raise
            tasks: list[dict[str, Any]] = found["tasks"]
            if not tasks:
                return
            yield tasks
            page, got = page + 1, got + len(tasks)
            if got >= found["total"]:
                return

    def file(self, address: str, task: int) -> bytes:
        """What a task's data points to: an upload, a file of a storage, a data URI, or a URL anywhere.

        The token goes along to this server only. Raises Refused, Upstream, and Invalid for an address inside.
        """
        if address.startswith("data:"):
            return _inline(address)
        if address.startswith(_STORES):
            encoded = base64.urlsafe_b64encode(address.encode()).decode()
            return self._fetch(f"{self.url}/tasks/{task}/resolve/?fileuri={encoded}")
        if address.startswith(("http://", "https://")):
            return self._fetch(address)
        return self._fetch(f"{self.url}/{address.lstrip('/')}")

    def _fetch(self, address: str) -> bytes:
        response = self._send("GET", address, with_token=_origin(address) == _origin(self.url))
        if not response.is_success:
            raise self._refusal(response, "the file")
        if len(response.content) > _MOST_OF_A_FILE:
            raise Refused(f"a file of more than {_MOST_OF_A_FILE:,} bytes", response.status_code)
        return response.content

    def predict(self, project: int, predictions: Sequence[dict[str, Any]]) -> None:
        """Write predictions in bulk. The bulk way drops `mislabeling` and `neighbors`."""
        for start in range(0, len(predictions), _BATCH):
            batch = list(predictions[start : start + _BATCH])
            self.ask("POST", f"/api/projects/{project}/import/predictions", json=batch)

    def versions(self, project: int) -> dict[str, int]:
        """How many predictions there are of each model version."""
        found = self._object("GET", f"/api/projects/{project}/model-versions/")
        return {name: int(count) for name, count in found.items() if isinstance(count, int)}

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request; gives the JSON that comes back, or None. Raises Refused and Upstream."""
        response = self._send(method, f"{self.url}{path}", **options)
        if not response.is_success:
            raise self._refusal(response, path)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise Refused(
                f"{self.url} answered {path} with no JSON; is this Label Studio's address?", response.status_code
            ) from error

    def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found = self.ask(method, path, **options)
        if not isinstance(found, dict):
            raise Refused(f"{self.url} answered {path} with something else than an object", HTTPStatus.OK)
        return found

    def _send(self, method: str, address: str, *, with_token: bool = True, **options: Any) -> httpx.Response:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Busy, httpx.TransportError)),
            wait=tenacity.wait_exponential_jitter(initial=self._pause, max=_LONGEST_PAUSE_S, jitter=self._pause),
            stop=tenacity.stop_after_attempt(_TRIES),
            reraise=True,
        )
        try:
            return retrying(self._once, method, address, with_token, options)
        except _Busy as busy:
            return busy.response
        except httpx.TimeoutException as error:
            raise Upstream(f"{self.url} did not answer {method} {_path(address)} in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Upstream(f"{self.url} could not be reached: {type(error).__name__}") from error

    def _once(self, method: str, address: str, with_token: bool, options: dict[str, Any]) -> httpx.Response:
        try:
            response = self._client.request(method, address, auth=self._auth if with_token else None, **options)
        except httpx.ConnectError:
            raise
        except httpx.TransportError as error:
            # It may have been done: what adds something is not said twice.
            if method in _REPEATABLE:
                raise
            raise Upstream(f"{self.url} did not answer {method} {_path(address)}: {type(error).__name__}") from error
        if response.status_code in (_BUSY if method in _REPEATABLE else _UNTOUCHED):
            raise _Busy(response)
        return response

    def _refusal(self, response: httpx.Response, what: str) -> Refused:
        said = ""
        try:
            body = response.json()
            said = str(body.get("detail") or "")[:200].replace(self._token, "…") if isinstance(body, dict) else ""
        except ValueError:
            pass
        status = response.status_code
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return Refused(f"{self.url} refuses the token ({status}): {said or 'no reason given'}", status)
        return Refused(f"{self.url} answered {status} to {what}{f': {said}' if said else ''}", status)


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
