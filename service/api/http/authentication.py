"""Authentication: by a key, or by coming over loopback where no keys are configured."""

import hmac
import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.http.lookup import services_of
from service.domain.errors import Forbidden, Unauthorized

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="One of the keys in SUSPECTS_API_KEYS.")


async def authorize(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
    """Let a request in: with a known key, or over loopback when no keys are configured.

    Raises Unauthorized and Forbidden.
    """
    keys = services_of(request).settings.api_keys
    if not keys:
        _stay_local(request)
        return
    if given is None:
        raise Unauthorized("send a key: Authorization: Bearer <key>")
    sent = given.credentials.encode("latin-1")  # the bytes as they came
    # Every key is compared, each in constant time, so that the time taken tells nothing.
    if not sum(hmac.compare_digest(sent, key.encode()) for key in keys):
        raise Unauthorized("this key is not known")


def _stay_local(request: Request) -> None:
    advice = "configure keys in SUSPECTS_API_KEYS to let others in"
    server = request.scope.get("server") or ("", None)
    if _is_address(server[0]) and not _is_local(server[0]):
        raise Forbidden(f"without keys this service answers over loopback only; {advice}")
    # A page of another origin, open in a browser of this machine, also comes over loopback.
    if not _is_local(request.url.hostname or ""):
        raise Forbidden(f"without keys this service answers to localhost only; {advice}")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden(f"without keys this service answers no other site; {advice}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if _is_address(host) else f".{host}".endswith(".localhost")
