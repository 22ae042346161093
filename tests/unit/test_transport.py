"""The pinned transports: every address of a host is checked, and one that was checked is connected to."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from service.background import webhooks
from service.domain.errors import Invalid
from service.outbound import addresses
from service.outbound.addresses import is_public
from service.outbound.transport import AddressRule, AsyncPinnedTransport, PinnedTransport

RULE = AddressRule(allow_private=False, setting="SUSPECTS_ALLOW_IT")
Get = Callable[..., str]


class Site(BaseHTTPRequestHandler):
    """Answers with the client's port and the Host header, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        content = f"{self.client_address[1]} {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@pytest.fixture
def site() -> Iterator[int]:
    """Port of a web server on 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name service; 127.0.0.1 counts as public."""
    known: dict[str, list[str]] = {}
    monkeypatch.setattr(addresses, "_resolve", lambda host, _port: known.get(host, [host]))
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    return known


def get_sync(*urls: str) -> list[str]:
    with httpx.Client(transport=PinnedTransport(RULE), trust_env=False, timeout=5) as client:
        return [client.get(url).text for url in urls]


def get_async(*urls: str) -> list[str]:
    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=AsyncPinnedTransport(RULE), trust_env=False, timeout=5) as client:
            return [(await client.get(url)).text for url in urls]

    return asyncio.run(run())


both = pytest.mark.parametrize("get", [get_sync, get_async])


@both
@pytest.mark.parametrize("private", ["10.0.0.1", "127.0.0.2", "::1"])
def test_one_private_address_among_a_hosts_addresses_is_enough_to_refuse_it(
    site: int, names: dict[str, list[str]], get: Get, private: str
) -> None:
    names["files.example"] = ["127.0.0.1"]
    get(f"http://files.example:{site}/")
    for found in (["127.0.0.1", private], [private, "127.0.0.1"]):
        names["files.example"] = found
        with pytest.raises(Invalid, match=r"private address; SUSPECTS_ALLOW_IT=true"):
            get(f"http://files.example:{site}/")


@both
def test_the_environment_names_no_proxy(site: int, monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert get(f"http://127.0.0.1:{site}/")


@both
def test_a_connection_serves_one_host_name_only(site: int, names: dict[str, list[str]], get: Get) -> None:
    # The certificate was checked for that name.
    names |= {"one.example": ["127.0.0.1"], "two.example": ["127.0.0.1"]}
    first, again, other = (
        answer.split() for answer in get(*(f"http://{name}.example:{site}/" for name in ("one", "one", "two")))
    )
    assert first == again
    assert first[0] != other[0]
    assert (first[1], other[1]) == (f"one.example:{site}", f"two.example:{site}")


@both
def test_tls_is_spoken_under_the_hosts_name(names: dict[str, list[str]], get: Get) -> None:
    names["files.example"] = ["127.0.0.1"]
    hello = b""

    def listen() -> None:
        nonlocal hello
        connection, _ = listener.accept()
        with connection:
            hello = connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(httpx.TransportError):
            get(f"https://files.example:{listener.getsockname()[1]}/")
        thread.join()
    assert b"files.example" in hello


@both
@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http:///x", "http://user:word@127.0.0.1/", "http://user@127.0.0.1/"]
)
def test_other_schemes_and_passwords_are_refused(get: Get, url: str) -> None:
    with pytest.raises(Invalid, match=r"must begin with http|must not hold a user name"):
        get(url)


@pytest.mark.parametrize("transport", [PinnedTransport, AsyncPinnedTransport])
def test_slow_receivers_leave_connections_for_the_others_of_a_batch(transport: Any) -> None:
    pool = transport(AddressRule(allow_private=True, setting="SUSPECTS_ALLOW_PRIVATE_WEBHOOKS"))._pool
    assert pool._max_connections >= 2 * webhooks._BATCH
    assert 0 < pool._keepalive_expiry <= 30
