"""Every status that the served description names really occurs."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.services import Services
from service.settings import Settings
from tests.contract.scene import Scene
from tests.contract.sent_requests import SENT
from tests.described import operations
from tests.stand_in import StandIn, standing_in, text_task

Prepare = Callable[[Scene], None]
ENDLESS = {"/events", "/jobs/{job_id}/reviews/events"}
LIMITED_BY_KEYS = {"/jobs/{job_id}/retry", "/jobs/{job_id}/rerun"}
PREPARED: dict[int, Prepare] = {
    401: Scene.keys,
    409: Scene.another_key,
    413: Scene.small,
    429: Scene.full_queue,
    502: Scene.broken_tool,
    503: Scene.no_database,
    507: Scene.full_disk,
}


@pytest.fixture
def settings(settings: Settings, empty_postgres: str) -> Settings:
    """On PostgreSQL, which forgives less; the other tests of the API run on SQLite."""
    return settings.model_copy(update={"database_url": empty_postgres, "allow_private_connections": True})


@pytest.fixture
def tool() -> Iterator[StandIn]:
    """A labelling tool that is not the real one."""
    with standing_in() as running:
        running.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 9)]
        yield running


@pytest.fixture
def scene(client: httpx.Client, services: Services, tool: StandIn) -> Scene:
    return Scene(client, services, tool)


@pytest.mark.parametrize(
    ("method", "path", "operation"), operations(), ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_documented_status_occurs(
    scene: Scene, method: str, path: str, operation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Refusals first: they change nothing.
    for status in sorted(map(int, operation["responses"]), reverse=True):
        with monkeypatch.context() as patch, scene.restored():
            if status == 507:
                patch.setattr("secrets.token_hex", lambda _size: "chosen")
                patch.setattr("service.actions.make_version.new_id", lambda _prefix: "ds_full")
            response = occur(scene, method, path, status)
        assert response.status_code == status, response.text
        check_form(response, operation["responses"][str(status)])


def occur(scene: Scene, method: str, path: str, status: int) -> httpx.Response:
    """Bring a status about."""
    known = SENT.get((method, path), {})
    # 401, 403 and 503 do not depend on what is sent; a misspelt query parameter is invalid everywhere.
    where, sent = known[status] if status in known else next(iter(known.values()), ({}, {}))
    assert status in known or status in (200, 401, 403, 422, 503), "a documented status that nothing brings about"
    if status == 422 and status not in known:
        sent = {**sent, "params": {"no_such": 1}}
    if path == "/readyz" and status == 200:
        scene.worker()
    elif path.endswith("/rescore") and status == 202:
        scene.verified()
    elif status in PREPARED:
        PREPARED[status](scene)
    if status == 403:
        sent = {**sent, "headers": {**sent.get("headers", {}), "Origin": "https://elsewhere.example"}}
    if path == "/connections" and isinstance(sent.get("json"), dict) and sent["json"]:
        sent = {**sent, "json": {**sent["json"], "url": scene.tool.url}}
    if ("{key_id}" in path or path in LIMITED_BY_KEYS) and status != 503:
        scene.made_keys()
        special = {401: "wrong", 403: scene.tokens["reader"], 429: scene.tokens["spent"]}
        key = special.get(status, scene.tokens["admin"])
        sent = {**sent, "headers": {**sent.get("headers", {}), "Authorization": f"Bearer {key}"}}
    places = {name: scene.made.get(value, value) for name, value in where.items()}
    if path in ENDLESS and status == 200:
        with scene.client.stream(method, path.format(**places), **sent) as begun:
            return begun
    return scene.client.request(method, path.format(**places), **sent)


def check_form(response: httpx.Response, described: dict[str, Any]) -> None:
    """The answer has a described type; a problem has its members, and says when to come back or what is in the way."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    status = response.status_code
    if status != 204:
        assert kind in described["content"] or f"{kind.partition('/')[0]}/*" in described["content"]
    if status >= 400:
        problem = response.json()
        assert {"type", "title", "status", "detail", "code"} <= set(problem)
        assert problem["status"] == status
    if status in (409, 429, 503):
        assert {"state", "jobs", "checks", "formats"} & set(problem) or response.headers["Retry-After"]
