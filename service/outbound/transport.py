"""HTTP transports that connect only to addresses that were checked (guard against server-side request forgery).

A host is resolved once per connection. All its addresses are checked, and the connection goes to one of them: a second
look-up cannot return another address. The Host header, SNI and the certificate check keep the host's name. A redirect
is a request like any other, so it is checked too.
"""

import asyncio
import functools
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import httpcore
import httpx

from service.outbound.addresses import checked_address, invalid_url

_SCHEMES = ("http", "https")


@dataclass(frozen=True)
class AddressRule:
    """Whether private addresses are allowed. `setting` is the name of the setting that says so, for errors."""

    allow_private: bool
    setting: str

    def address(self, host: str, port: int) -> str:
        """The IP address to connect to. Raises Invalid for an unknown host, and for one at a private address."""
        return checked_address(host, port, allow_private=self.allow_private, setting=self.setting)


class _Limits(TypedDict):
    max_connections: int
    max_keepalive_connections: int
    keepalive_expiry: float


# As httpx has them. A pool that is smaller than a batch of webhooks would let slow receivers hold up the others, and a
# connection that was idle for longer may have been dropped by a machine in between.
_LIMITS = _Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)


class PinnedTransport(httpx.HTTPTransport):
    """Transport for httpx.Client. Raises Invalid for a URL that is not allowed.

    It uses no proxy and no other setting of this machine's environment.
    """

    def __init__(self, rule: AddressRule) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        # httpx has no option for the network backend. If it renames the pool, tests/unit/test_transport.py fails.
        self._pool = httpcore.ConnectionPool(ssl_context=_tls(), network_backend=_Backend(rule), **_LIMITS)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        _check_url(request.url)
        return super().handle_request(request)


class AsyncPinnedTransport(httpx.AsyncHTTPTransport):
    """Transport for httpx.AsyncClient under asyncio. Raises Invalid like PinnedTransport."""

    def __init__(self, rule: AddressRule) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=_tls(), network_backend=_AsyncBackend(rule), **_LIMITS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        _check_url(request.url)
        return await super().handle_async_request(request)


class _Backend(httpcore.SyncBackend):
    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        address = self._rule.address(host, port)
        return super().connect_tcp(address, port, timeout, local_address, socket_options)


class _AsyncBackend(httpcore.AnyIOBackend):
    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await asyncio.to_thread(self._rule.address, host, port)
        return await super().connect_tcp(address, port, timeout, local_address, socket_options)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading all authorities takes tens of milliseconds, so that every transport of the process has the same."""
    return httpx.create_ssl_context(trust_env=False)


def _check_url(url: httpx.URL) -> None:
    if url.scheme not in _SCHEMES or not url.host:
        raise invalid_url("must begin with http:// or https:// and name a host")
    if url.userinfo:
        raise invalid_url("must not hold a user name or password; use a signed URL")
