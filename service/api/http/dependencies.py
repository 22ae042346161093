"""Dependencies of routes: the services, authorization, the idempotency key."""

import hmac
import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.domain.errors import FieldError, Forbidden, Malformed, Unauthorized
from service.services import Services

_KEY_LENGTH = 255


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def _injected(request: Request) -> Services:
    return _services(request)


ServicesDependency = Annotated[Services, Depends(_injected)]

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="One of the keys in SUSPECTS_API_KEYS.")


async def authorize(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
    """Let a request in: with a known key, or over loopback when no keys are configured.

    Raises Unauthorized and Forbidden.
    """
    keys = _services(request).settings.api_keys
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


async def _idempotency_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="The same key and body give the same resource; the same key with another body is refused.",
            examples=["3f1f0e0e-1c3c-4f6b-9a53-1f4a7f1b2f60"],
        ),
    ] = None,
) -> str | None:
    if key is not None and not (0 < len(key) <= _KEY_LENGTH and key.isascii() and key.isprintable()):
        msg = f"must be 1 to {_KEY_LENGTH} printable ASCII characters"
        raise Malformed(f"Idempotency-Key: {msg}", errors=[FieldError(loc=["header", "Idempotency-Key"], msg=msg)])
    return key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
