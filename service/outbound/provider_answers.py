"""Requests to the OpenID provider at which people sign in, over the pinned transport."""

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.domain.errors import Invalid, Unavailable, Upstream
from service.outbound.transport import AddressRule, PinnedTransport

# The operator named the provider, and it may well be inside the network.
_ANY_ADDRESS = AddressRule(allow_private=True, setting="")
_STEP_S, _WHOLE_S = 5.0, 15.0
_MOST_BYTES = 2**20
_RETRY_S = 30


def asked(method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> httpx.Response:
    """The answer to a request, of a bounded size and time; redirects are not followed. Raises Unavailable."""
    host, deadline, content = urlsplit(url).hostname, time.monotonic() + _WHOLE_S, bytearray()
    sent = {
        "Accept": "application/json",
        **(headers or {}),
        "Accept-Encoding": "identity",
        "User-Agent": "usual-suspects",
    }
    try:
        with (
            httpx.Client(transport=PinnedTransport(_ANY_ADDRESS), timeout=_STEP_S, trust_env=False) as client,
            client.stream(method, url, headers=sent, content=body) as response,
        ):
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise Upstream(f"the sign-in provider {host} answered with more than {_MOST_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise _away(host, "it is too slow")
    except Invalid as error:  # of an address
        raise _away(host, error.detail) from error
    except httpx.HTTPError as error:
        raise _away(host, str(error) or type(error).__name__) from error
    if response.is_server_error:
        raise _away(host, f"it answered {response.status_code}")
    return httpx.Response(response.status_code, content=bytes(content), request=response.request)


def _away(host: str | None, why: str) -> Unavailable:
    return Unavailable(
        f"the sign-in provider {host} cannot be reached ({why}); try again soon, or use a key", retry_after=_RETRY_S
    )


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The object of an answer; nothing where it is JSON of another kind. Raises Upstream."""
    try:
        found = response.raise_for_status().json()
    except (httpx.HTTPStatusError, json.JSONDecodeError, UnicodeDecodeError) as error:
        host = response.request.url.host
        raise Upstream(
            f"the sign-in provider {host} answered {response.status_code} without the JSON that was asked for"
        ) from error
    return found if isinstance(found, dict) else {}
