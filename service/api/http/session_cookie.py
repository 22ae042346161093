"""The cookies of people who sign in on the page: that of an attempt to sign in, and that of their session."""

from urllib.parse import urlsplit

from fastapi import Request, Response

from service.domain.errors import Forbidden
from service.services import Services

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_REQUESTS = frozenset({"same-origin", "none"})  # none: the person typed the address
SESSION, ATTEMPT = "suspects-session", "suspects-sign-in"


def public_url(request: Request) -> str:
    """Where browsers reach this service, without a slash at its end."""
    services: Services = request.app.state.services
    return services.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


def read_cookie(request: Request, name: str) -> str | None:
    """One of the two cookies, or None; there is none where no sign-in is offered."""
    services: Services = request.app.state.services
    return request.cookies.get(_full_name(request, name)) if services.settings.oidc_issuer else None


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set one of the two cookies, which no script and no other site can read."""
    response.set_cookie(
        _full_name(request, name), value, seconds, path="/", secure=_is_secure(request), httponly=True, samesite="lax"
    )


def delete_cookie(request: Request, response: Response, name: str) -> None:
    """Delete one of the two cookies."""
    set_cookie(request, response, name, "", 0)


def require_own_page(request: Request) -> None:
    """Refuse a request with a session that another site may have caused: a browser sends cookies whoever asks it to.

    Raises Forbidden.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    hosts = {request.headers.get("host"), urlsplit(public_url(request)).netloc}
    is_own = site in _OWN_REQUESTS if site is not None else origin is not None and urlsplit(origin).netloc in hosts
    if not is_own and (request.method not in _READING or site is not None or origin is not None):
        raise Forbidden("a sign-in serves the page of this service alone; programs and other sites send a key")


def _is_secure(request: Request) -> bool:
    return urlsplit(public_url(request)).scheme == "https"


def _full_name(request: Request, name: str) -> str:
    # With this prefix browsers take it from this very host alone, over TLS alone.
    return f"__Host-{name}" if _is_secure(request) else name
