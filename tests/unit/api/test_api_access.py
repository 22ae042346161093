"""Who is let in: known keys, and without keys this machine alone."""

import asyncio
from collections.abc import Iterable

import httpx
import pytest
from fastapi import FastAPI

from service.api.http.client_address import client_address
from service.main import create_app
from service.settings import Settings
from tests.described import described
from tests.log_lines import wait_for_line

OPEN = [
    "/healthz",
    "/readyz",
    "/",
    "/web/theme.js",
    "/web/reload.js",
    "/web/exports.json",
    "/web/written-forms.json",
    "/docs",
    "/docs/swagger-ui.css",
    "/llms.txt",
    "/openapi.json",
    "/session",
]
KEYS = {"key one", "schlüssel"}


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    keys: Iterable[str] = getattr(request, "param", ())
    return create_app(settings.model_copy(update={"api_keys": frozenset(keys), "wrong_key_limit": 0}))


def closed() -> list[tuple[str, str]]:
    """Every operation that needs a key; tools have no key, but a path that only they know."""
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, operations in described()["paths"].items()
        for method in operations
        if path not in {*OPEN, "/sign-out"} and not path.startswith("/ls/{secret}")
    ]


def ask(app: FastAPI, url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """A request that arrives at the address and port of `url`."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.request(method, url, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_who_is_not_let_in_is_told_nothing_of_query_parameters(client: httpx.Client) -> None:
    for method, path in closed():
        assert client.request(method, path, params={"no_such": 1}).status_code == 401, (method, path)


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_with_keys_everything_but_health_and_page_needs_one(app: FastAPI, client: httpx.Client) -> None:
    operations = closed()
    assert len(operations) > 20
    for method, path in operations:
        for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a2V5"}):
            response = client.request(method, path, headers=sent)
            assert response.status_code == 401, (method, path, sent)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.json()["code"] == "unauthorized"
    for path in OPEN:
        assert client.get(path).status_code in (200, 503), path


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_a_path_that_no_tool_was_told_opens_nothing_with_or_without_a_key(client: httpx.Client) -> None:
    for headers in ({}, {"Authorization": "Bearer key one"}):
        response = client.post("/ls/wrong/webhook", json={"action": "ANNOTATION_UPDATED"}, headers=headers)
        assert response.status_code == 404
        assert "wrong" not in response.text


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_every_known_key_opens(client: httpx.Client) -> None:
    for key in KEYS:
        response = client.get("/datasets", headers={b"Authorization": f"Bearer {key}".encode()})
        assert response.status_code == 200, key
    for wrong in ("key", "key one x", "KEY ONE", "x"):
        assert client.get("/datasets", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401, wrong


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_an_upload_without_a_key_is_refused_before_it_is_read(client: httpx.Client, settings: Settings) -> None:
    response = client.post("/datasets", files={"file": b"x" * 100_000})
    assert response.status_code == 401
    assert list((settings.home / "uploads").glob("*")) == []


def test_without_keys_this_machine_is_let_in(app: FastAPI, client: httpx.Client) -> None:
    assert client.get("/datasets").status_code == 200
    for url in ("http://localhost/models", "http://[::1]/models", "http://127.0.0.2:8000/models"):
        assert ask(app, url).status_code == 200, url


def test_without_keys_nobody_else_is(app: FastAPI) -> None:
    for url in ("http://192.0.2.1/models", "http://10.0.0.5:8000/models", "http://[2001:db8::1]/models"):
        response = ask(app, url)
        assert response.status_code == 403, url
        assert "SUSPECTS_API_KEYS" in response.json()["detail"]
    # What a client calls the service does not change where it came in.
    assert ask(app, "http://192.0.2.1/models", Host="localhost").status_code == 403
    for method, path in closed():
        assert ask(app, f"http://192.0.2.1{path}", method).status_code == 403, (method, path)
    assert ask(app, "http://192.0.2.1/healthz").status_code == 200


def test_without_keys_no_other_site_speaks_through_a_browser_of_this_machine(client: httpx.Client, server: str) -> None:
    cases: list[tuple[dict[str, str], int]] = [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": server}, 200),
        # A proxy on this machine, which comes over loopback, too.
        ({"X-Forwarded-For": "203.0.113.9"}, 403),
        ({"X-Forwarded-Host": "suspects.example"}, 403),
        ({"X-Real-IP": "203.0.113.9"}, 403),
        ({"Forwarded": "for=203.0.113.9"}, 403),
    ]
    for headers, status in cases:
        assert client.get("/datasets", headers=headers).status_code == status, headers


@pytest.mark.parametrize("app", [KEYS], indirect=True)
def test_keys_are_never_logged(capsys: pytest.CaptureFixture[str], client: httpx.Client) -> None:
    client.get("/datasets?by=secret", headers={"Authorization": "Bearer key one", "X-Request-ID": "mine-1"})
    client.get("/datasets", headers={"Authorization": "Bearer wrong key"})
    logged = "\n".join(wait_for_line(capsys, '"status": 401'))
    assert "mine-1" in logged
    assert "/datasets" in logged
    assert not any(word in logged for word in ("key one", "wrong key", "secret"))


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8::1", 1), "2001:db8::1"),
        (('9.9.9.9<script>, evil"x', 1), ""),
        (("", 0), ""),
        (None, ""),
    ],
)
def test_what_a_proxy_forwards_as_an_address_is_one_or_nothing(client: tuple[str, int] | None, address: str) -> None:
    assert client_address({"type": "http", "client": client}) == address
