"""The two kinds of tokens of Label Studio, each as an authentication of httpx.

A token is sent to its own server only (service.label_studio.client).
"""

import base64
import binascii
import json
import time
from collections.abc import Generator
from typing import Any

import httpx

from service.domain.connection import TokenKind

_AHEAD_S = 30  # an access token is renewed this long before it ends
_LIFE_S = 300  # of an access token that does not say when it ends
_EXCHANGE = httpx.Timeout(30)


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
