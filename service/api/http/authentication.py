"""Authentication and authorization: by a key and its scopes, by a sign-in, or by coming over loopback where there are no keys."""

import ipaddress
import time
from collections.abc import Callable
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.actions.identify import identify, identify_session, remains_known
from service.api.http.client_address import client_address
from service.api.http.query_parameters import check_query
from service.api.http.scopes import scope_of_route
from service.api.http.session_cookie import SESSION, read_cookie, require_own_page
from service.domain.access import Caller
from service.domain.errors import Forbidden, Malformed, TooMany
from service.services import Services

T = TypeVar("T")

_CHECKED_EVERY_S = 2.0
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="One of the keys in SUSPECTS_API_KEYS, or one that POST /keys gave.",
)


async def let_in(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
    """Let a request in: with a key whose scopes allow it, with a sign-in on the page, or over loopback where there are no keys.

    The request then sees the project of the key alone. A key goes before a sign-in. Raises Unauthorized, Forbidden, and TooMany for a quota that is used up.
    """
    await run_in_threadpool(_let_in, request, given)


async def authorize(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
    """Let a request in, and raise Invalid for query parameters that its route does not have."""
    await let_in(request, given)
    check_query(request)


async def authorized(request: Request, answer: Callable[[], T]) -> T:
    """What `answer` gives, once the request is let in, for requests whose dependencies are not resolved by FastAPI.

    Both run in one thread: to hand work to a second one takes as long as most answers.
    """
    given = await _bearer(request)

    def let_in_and_answer() -> T:
        _let_in(request, given)
        return answer()

    return await run_in_threadpool(let_in_and_answer)


def _let_in(request: Request, given: HTTPAuthorizationCredentials | None) -> None:
    services: Services = request.app.state.services
    session = read_cookie(request, SESSION) if given is None else None
    caller: Caller | None
    if session is None:
        caller = identify(services, None if given is None else given.credentials, client_address(request.scope))
    else:
        require_own_page(request)
        caller = identify_session(services, session, client_address(request.scope)).caller()
    if caller is None:
        _stay_local(request)
        caller = Caller()
    request.state.caller = caller
    needed = scope_of_route(request.method, request.scope["route"].path)
    if not caller.may(needed):
        who = "this sign-in" if caller.has_signed_in else "this key"
        raise Forbidden(f"{who} has the scopes {', '.join(sorted(caller.scopes))}; this needs {needed}")
    if caller.quota is not None and caller.key is not None:
        _spend(services, request, caller)


class Permission:
    """Whether the key or the sign-in of a request is still let in, for answers that go on for as long as somebody listens."""

    def __init__(self, services: Services, token: str | None) -> None:
        self._services, self._token = services, token
        self._checked = time.monotonic()

    async def holds(self) -> bool:
        """False once the key would be refused. It is looked up every two seconds."""
        if time.monotonic() < self._checked + _CHECKED_EVERY_S:
            return True
        self._checked = time.monotonic()
        return await run_in_threadpool(remains_known, self._services, self._token)


def _permission(
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    _authorized: Annotated[None, Depends(authorize)],
) -> Permission:
    token = read_cookie(request, SESSION) if given is None else given.credentials
    return Permission(request.app.state.services, token)


# For streams: they end when their key does.
PermissionDependency = Annotated[Permission, Depends(_permission)]


async def _caller(request: Request, _authorized: Annotated[None, Depends(authorize)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


# Who an authorized request comes from.
CallerDependency = Annotated[Caller, Depends(_caller)]


def _spend(services: Services, request: Request, caller: Caller) -> None:
    """Count a request of a created key, and the bytes of its body."""
    quota, key = caller.quota, caller.key
    assert quota is not None
    assert key is not None
    if quota.requests_per_minute is not None:
        wait = services.quotas.spend_requests(key, quota.requests_per_minute)
        _refuse_after(wait, f"{quota.requests_per_minute} requests a minute")
    if quota.bytes_per_day is not None:
        wait = services.quotas.spend_bytes(key, quota.bytes_per_day, _announced_bytes(request))
        _refuse_after(wait, f"{quota.bytes_per_day} bytes a day")


def _announced_bytes(request: Request) -> int:
    if "transfer-encoding" in request.headers:
        raise Malformed("this key has a quota of bytes: send the length of the body in Content-Length")
    length = request.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0


def _refuse_after(wait: int | None, allowed: str) -> None:
    if wait is not None:
        raise TooMany(f"the quota of this key is used up: {allowed}", retry_after=wait)


def _stay_local(request: Request) -> None:
    advice = "configure keys in SUSPECTS_API_KEYS, or create one with POST /keys, to let others in"
    server = request.scope.get("server") or ("", None)
    if _is_address(server[0]) and not _is_local(server[0]):
        raise Forbidden(f"without keys this service answers over loopback only; {advice}")
    # A proxy on this machine comes over loopback, whoever asked it.
    if any(name in request.headers for name in _FORWARDED):
        raise Forbidden(f"without keys this service answers no proxy; {advice}")
    # A page of another origin, open in a browser of this machine, also comes over loopback.
    if not _is_local(request.url.hostname or ""):
        raise Forbidden(f"without keys this service answers to localhost only; {advice}")
    origin = request.headers.get("origin")
    is_of_another = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if is_of_another or (request.headers.get("sec-fetch-site") == "cross-site" and not _is_navigation(request)):
        raise Forbidden(f"without keys this service answers no other site; {advice}")


def _is_navigation(request: Request) -> bool:
    """Whether a person follows a link: the site that has the link learns nothing of the answer."""
    of_document = (
        request.headers.get("sec-fetch-mode") == "navigate" and request.headers.get("sec-fetch-dest") == "document"
    )
    return request.method == "GET" and of_document


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else f".{host}".endswith(".localhost")
