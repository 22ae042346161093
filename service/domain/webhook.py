"""Webhook of a job: the request, and what the API shows of it."""

import base64
import binascii

from pydantic import Field, field_validator

from service.domain.dataset import Frozen
from service.domain.urls import parse_http_url

_PREFIX = "whsec_"
_LEAST, _MOST = 24, 64  # bytes, of Standard Webhooks


class WebhookRequest(Frozen):
    """Webhook for the end of a job: completed, failed or cancelled. Messages are signed by Standard Webhooks."""

    url: str = Field(max_length=2048, description="http or https; its query is not shown again.", repr=False)
    secret: str = Field(
        max_length=200, description="whsec_ and 24 to 64 bytes in base 64; never shown again.", repr=False
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = parse_http_url(url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or password; the signature tells who sends")
        return url

    @field_validator("secret")
    @classmethod
    def _is_secret(cls, secret: str) -> str:
        encoded = secret.removeprefix(_PREFIX)
        try:
            size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        # The text must not contain the secret: it goes into answers and logs.
        if not secret.startswith(_PREFIX) or not _LEAST <= size <= _MOST:
            raise ValueError(f"must be {_PREFIX} followed by {_LEAST} to {_MOST} random bytes in base 64")
        return secret

    def shown(self) -> "WebhookShown":
        """The webhook without its secret and the query of its URL."""
        return WebhookShown(url=without_query(self.url))


class WebhookShown(Frozen):
    """Webhook of a job, without its secret and the query of its URL."""

    url: str


def without_query(url: str) -> str:
    """The URL with an ellipsis in place of its query and fragment, which may hold a token."""
    bare = url.partition("#")[0].partition("?")[0]
    return bare if bare == url else f"{bare}?…"
