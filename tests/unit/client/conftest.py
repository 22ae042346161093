"""Clients of a service that is written by hand."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from usual_suspects.client import Client

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Handler], Client]]:
    """A client whose requests a function answers; it does not pause."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    monkeypatch.setattr("usual_suspects.client.synchronous.waiting.time.sleep", lambda _: None)
    made: list[Client] = []

    def make(handler: Handler) -> Client:
        client = Client("http://suspects.test", "secret")
        client._transport._http = httpx.Client(
            transport=httpx.MockTransport(handler),
            base_url="http://suspects.test",
            headers=client._transport._http.headers,
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
