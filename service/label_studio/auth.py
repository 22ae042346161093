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

_RENEW_BEFORE_S = 30  # an access token is renewed this long before it expires
_LIFETIME_S = 300  # of an access token without an expiry
_EXCHANGE_TIMEOUT = httpx.Timeout(30)


class LegacyToken(httpx.Auth):
    """Legacy token: 40 hexadecimal digits, sent with each request."""

    kind: TokenKind = "legacy"

    def __init__(self, token: str) -> None:
        self._token = token

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not appear in error messages."""
        return (self._token,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers["Authorization"] = f"Token {self._token}"
        yield request


class PersonalToken(httpx.Auth):
    """Personal access token: a refresh token (JWT), exchanged for access tokens of five minutes."""

    kind: TokenKind = "personal"

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url
        self._access, self._expires_at = "", 0.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not appear in error messages."""
        return (self._token, self._access) if self._access else (self._token,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header; exchanges the token when the access token expires or is refused."""
        if time.time() > self._expires_at - _RENEW_BEFORE_S:
            self._store((yield self._exchange()))
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._store((yield self._exchange()))
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _exchange(self) -> httpx.Request:
        # A request made here does not get the timeouts of the client.
        timeouts = {"timeout": _EXCHANGE_TIMEOUT.as_dict()}
        return httpx.Request(
            "POST", f"{self._url}/api/token/refresh/", json={"refresh": self._token}, extensions=timeouts
        )

    def _store(self, response: httpx.Response) -> None:
        # After a failed exchange the request is sent with an invalid token, and its own 401 is reported.
        try:
            response.read()
            access = str(response.json()["access"]) if response.is_success else ""
        except (ValueError, KeyError, TypeError):
            access = ""
        self._access = access or "refused"
        self._expires_at = float(jwt_claims(access).get("exp") or time.time() + _LIFETIME_S) if access else 0.0


def token_auth(token: str, url: str) -> LegacyToken | PersonalToken:
    """Authentication with a token; its kind is found from the token."""
    return PersonalToken(token, url) if jwt_claims(token).get("token_type") == "refresh" else LegacyToken(token)


def jwt_claims(token: str) -> dict[str, Any]:
    """Claims of a JWT, not verified; empty for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}
