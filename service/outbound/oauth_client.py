"""Authlib's client of an OpenID provider. It is imported where people sign in, and not with the service."""

from typing import Any

from authlib.oauth2.client import OAuth2Client

from service.outbound.provider_answers import asked


class OAuthClient(OAuth2Client):  # type: ignore[misc]  # Authlib has no types
    """Authlib's client, which sends nothing itself: the one that it has for httpx makes connections of its own."""

    def _fetch_token(  # what Authlib's own clients override
        self, url: str, body: str = "", headers: Any = None, auth: Any = None, method: str = "POST", **_more: Any
    ) -> Any:
        url, headers, body = auth.prepare(method, url, dict(headers), body)
        return self.parse_response_token(asked(method, url, headers, body))
