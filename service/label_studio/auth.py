"""What every request to a labelling tool goes through: where it may lead, and with which token.

The address that a name resolves to is checked at each request, redirects too, and the connection goes to the address
that was checked (service.outbound.fetch). A token goes to its own server alone.
"""

import base64
import binascii
import json
import time
from collections.abc import Generator
from typing import Any

import httpx

from service.domain.connection import TokenKind
from service.outbound.fetch import pin

SETTING = "SUSPECTS_ALLOW_PRIVATE_CONNECTIONS"
_AHEAD_S = 30  # an access token is renewed this long before it ends
_LIFE_S = 300  # of an access token that does not say when it ends
_EXCHANGE = httpx.Timeout(30)


class Pinned(httpx.BaseTransport):
    """Connects to the very address that was found to be allowed."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        # No proxy of this machine: it would lead to more than the client may.
        self._inner = httpx.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on. Raises Invalid for one that leads inside."""
        target = pin(str(request.url), allow_private=self._allow_private, setting=SETTING)
        headers = httpx.Headers(request.headers)
        headers["Host"] = target.host_header
        return self._inner.handle_request(
            httpx.Request(
                request.method,
                target.pinned,
                headers=headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": target.host},
            )
        )

    def close(self) -> None:
        """Give the connections back."""
        self._inner.close()


class LegacyToken(httpx.Auth):
    """40 hexadecimal digits, sent as they are."""

    kind: TokenKind = "legacy"

    def __init__(self, token: str) -> None:
        self._token = token

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is never to be told."""
        return (self._token,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Token {self._token}"
        yield request


class PersonalToken(httpx.Auth):
    """A refresh token (JWT), exchanged for an access token of five minutes; anew when that one is refused."""

    kind: TokenKind = "personal"

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url
        self._access, self._ends = "", 0.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is never to be told."""
        return (self._token, self._access) if self._access else (self._token,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header, after an exchange where one is due."""
        if time.time() > self._ends - _AHEAD_S:
            self._keep((yield self._exchange()))
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._keep((yield self._exchange()))
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _exchange(self) -> httpx.Request:
        # A request that is made here gets nothing of what the client sets for its own.
        patience = {"timeout": _EXCHANGE.as_dict()}
        return httpx.Request(
            "POST", f"{self._url}/api/token/refresh/", json={"refresh": self._token}, extensions=patience
        )

    def _keep(self, response: httpx.Response) -> None:
        # Refused or broken: the request then goes without a good token, and its own 401 is what is told.
        # An empty one would be no header at all.
        try:
            response.read()
            access = str(response.json()["access"]) if response.is_success else ""
        except (ValueError, KeyError, TypeError):
            access = ""
        self._access = access or "refused"
        self._ends = float(claims(access).get("exp") or time.time() + _LIFE_S) if access else 0.0


def authorisation(token: str, url: str) -> LegacyToken | PersonalToken:
    """How to send a token, told from the token itself."""
    return PersonalToken(token, url) if claims(token).get("token_type") == "refresh" else LegacyToken(token)


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; nothing for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}
