"""Datasets by URL, over HTTP."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.main import create_app
from service.services import Services
from service.settings import Settings
from tests.builders import CSV, form


class Site(BaseHTTPRequestHandler):
    """One file."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CSV)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where the file is."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/animals.csv"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    return create_app(settings.model_copy(update={"allow_private_urls": getattr(request, "param", True)}))


def test_a_url_gives_the_same_dataset_as_its_file(client: httpx.Client, services: Services, url: str) -> None:
    spec = {"label": "animal"}
    fetched = client.post("/datasets", json={"url": url, "spec": spec}, headers={"Idempotency-Key": "k"})
    assert fetched.status_code == 201
    assert fetched.headers["Location"] == f"/datasets/{fetched.json()['id']}"
    assert fetched.json()["name"] == "animals"
    assert client.post("/datasets", **form(spec=spec)).json() == fetched.json()
    again = client.post("/datasets", json={"url": url, "spec": spec}, headers={"Idempotency-Key": "k"})
    assert again.json() == fetched.json()
    other = client.post("/datasets", json={"url": url}, headers={"Idempotency-Key": "k"})
    assert other.status_code == 422
    assert list(services.blobs.uploads.iterdir()) == []


@pytest.mark.parametrize("app", [False], indirect=True)
def test_private_addresses_are_refused(client: httpx.Client, services: Services, url: str) -> None:
    response = client.post("/datasets", json={"url": url})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["url"])
    assert "SUSPECTS_ALLOW_PRIVATE_URLS" in response.json()["detail"]
    assert list(services.blobs.uploads.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["url"]),
        ({"url": 7}, ["url"]),
        ({"url": "http://127.0.0.1:1/x"}, ["url"]),
        ({"url": "http://127.0.0.1:1/x", "spec": {"label": 7}}, ["spec", "label"]),
    ],
)
def test_a_fault_names_its_field(client: httpx.Client, body: dict[str, Any], place: list[str]) -> None:
    response = client.post("/datasets", json=body)
    assert (response.status_code, [fault["loc"] for fault in response.json()["errors"]]) == (422, [place])
