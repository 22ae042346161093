"""Client of Label Studio's HTTP API, for pull, push and reconcile. Tested with 1.23."""

import base64
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from service.domain.connection import ConnectionCheck, TokenKind
from service.label_studio.session import Refused, Session

_PAGE = 500  # tasks per page; 1,000 take half a minute on a busy server
_BATCH = 1_000  # predictions or tasks per request
_MAX_FILE_BYTES = 64 * 2**20
_REDIRECTS = 5
_STORES = ("s3://", "s3s://", "gs://", "azure-blob://")


class LabelStudio:
    """One server with one token. Methods raise Upstream when it cannot be reached, Refused for an error answer.

    `pause` is the first pause between tries, in seconds. With a `timeout` in seconds for each step there is one try.
    """

    def __init__(
        self, url: str, token: str, *, allow_private: bool, pause: float = 1.0, timeout: float | None = None
    ) -> None:
        self.url = url
        self._session = Session(url, token, allow_private=allow_private, pause=pause, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def redact(self, secret: str) -> None:
        """Leave this text out of error messages, like the token: the tool may repeat what it was sent."""
        self._session.redact(secret)

    @property
    def token_kind(self) -> TokenKind:
        """Kind of the token."""
        return self._session.token_kind

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
            answer = self._session.send("GET", address, with_token=own, max_bytes=_MAX_FILE_BYTES)
            if answer.location is None:
                if not answer.is_success:
                    raise self._session.refusal(answer, "the file")
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
        answer = self._session.send(method, f"{self.url}{path}", **options)
        if not answer.is_success:
            raise self._session.refusal(answer, path)
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


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _inline(address: str) -> bytes:
    head, _, data = address.partition(",")
    try:
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else data.encode()
    except ValueError as error:
        raise Refused("a data URI that is no base 64", HTTPStatus.OK) from error
