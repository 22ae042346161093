"""HTTP session with a Label Studio server: token, retries, redacted errors."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import tenacity

from service.domain.connection import TokenKind
from service.domain.errors import Upstream
from service.label_studio.auth import token_auth
from service.outbound.transport import AddressRule, PinnedTransport

_TRIES = 5
_LONGEST_PAUSE_S = 20
# Large projects need minutes for a page or a batch.
_TIMEOUT = httpx.Timeout(connect=10, read=300, write=300, pool=300)
_BUSY = frozenset({429, 502, 503, 504})
_NOT_PROCESSED = frozenset({429, 503})  # the server did not process the request
_REPEATABLE = frozenset({"GET", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class ToolResponse:
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

    def __init__(self, answer: ToolResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Refused(Upstream):
    """The tool answered with an error or with unexpected content; `status` is the HTTP status."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Session:
    """Requests to one server with one token, and without the token to others.

    `pause` is the first pause between tries, in seconds. With a `timeout` in seconds for each step there is one try.
    """

    def __init__(self, url: str, token: str, *, allow_private: bool, pause: float, timeout: float | None) -> None:
        self._url, self._pause = url, pause
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

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def token_kind(self) -> TokenKind:
        """Kind of the token."""
        return self._auth.kind

    def redact(self, secret: str) -> None:
        """Leave this text out of error messages, like the token: the tool may repeat what it was sent."""
        self._redacted.append(secret)

    def send(
        self, method: str, address: str, *, with_token: bool = True, max_bytes: int | None = None, **options: Any
    ) -> ToolResponse:
        """Send a request, again while the server is busy. `max_bytes` limits the body.

        Raises Upstream when the server cannot be reached, Refused for a larger body, Invalid for a private address.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Busy, httpx.TransportError)),
            wait=tenacity.wait_exponential(self._pause, _LONGEST_PAUSE_S) + tenacity.wait_random(0, self._pause),
            stop=tenacity.stop_after_attempt(self._tries),
            reraise=True,
        )
        try:
            return retrying(self._once, method, address, with_token, max_bytes, options)
        except _Busy as busy:
            return busy.answer
        except httpx.TimeoutException as error:
            raise Upstream(f"{_server(address)} did not answer {method} {_path(address)} in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Upstream(f"{_server(address)} could not be reached: {type(error).__name__}") from error

    def _once(
        self, method: str, address: str, with_token: bool, max_bytes: int | None, options: dict[str, Any]
    ) -> ToolResponse:
        try:
            answer = self._read(method, address, with_token, max_bytes, options)
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
        self, method: str, address: str, with_token: bool, max_bytes: int | None, options: dict[str, Any]
    ) -> ToolResponse:
        auth, content = self._auth if with_token else None, bytearray()
        with self._client.stream(method, address, auth=auth, **options) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if max_bytes is not None and len(content) > max_bytes:
                    raise Refused(f"a file of more than {max_bytes:,} bytes", response.status_code)
        location = response.headers["Location"] if response.has_redirect_location else None
        return ToolResponse(response.status_code, bytes(content), location)

    def refusal(self, answer: ToolResponse, what: str) -> Refused:
        """The error for a response that is not 2xx; `what` was requested."""
        if answer.location is not None:
            # The token is sent to the configured address only.
            where = _server(urljoin(self._url, answer.location))
            return Refused(f"{self._url} redirects to {where}; give that address", answer.status)
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
                f"{self._url} refuses the token ({answer.status}): {reason or 'no reason given'}", answer.status
            )
        return Refused(
            f"{self._url} answered {answer.status} to {what}{f': {reason}' if reason else ''}", answer.status
        )


def _server(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _path(address: str) -> str:
    return urlsplit(address).path
