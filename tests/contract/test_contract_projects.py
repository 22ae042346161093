"""A project cannot see, change or guess what belongs to another, by any route."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.actions.keys import create_key
from service.api.http.scopes import scope_of_route
from service.domain.access import AccessScope, Caller, KeyRequest
from service.services import Services
from service.settings import Settings
from tests.contract.scene import Scene
from tests.contract.sent_requests import SENT
from tests.described import operations
from tests.stand_in import StandIn, standing_in, text_task

# What is the same for every caller, or belongs to nobody; tests of their own concern keys, events and the audit log.
OF_ALL = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/models",
    "/signals",
    "/events",
    "/keys",
    "/datasets/sample",
    "/audit-log",
    "/session",
    "/sign-out",
}
# Lists of what the caller's project has.
LISTS = {"/datasets", "/jobs", "/networks", "/connections", "/deliveries"}
REFUSED = (404, 422)  # 422: what a body names is not there


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"allow_private_connections": True})


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        running.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 9)]
        yield running


@pytest.fixture
def scene(client: httpx.Client, services: Services, tool: StandIn) -> Scene:
    """Something of everything, all of it in the project default."""
    return Scene(client, services, tool)


def key_of(services: Services, **wanted: Any) -> dict[str, str]:
    """Headers with a new key."""
    created = create_key(services, Caller(), KeyRequest.model_validate({"name": "somebody", **wanted}))
    return {"Authorization": f"Bearer {created.key}"}


def test_no_route_gives_a_project_what_belongs_to_another(scene: Scene, services: Services) -> None:
    own = key_of(services, scopes=["admin"])
    scene.client.headers.update(own)
    scene.made_keys()
    other = key_of(services, scopes=["admin"], project="other")
    walked = 0
    for method, path, operation in operations():
        if path in OF_ALL or path.startswith("/ls/"):
            continue
        success = min(int(status) for status in operation["responses"])
        where, sent = SENT.get((method, path), {}).get(success, ({}, {}))
        places = {name: scene.made.get(value, value) for name, value in where.items()}
        headers = {**sent.get("headers", {}), **other}
        response = scene.client.request(method, path.format(**places), **{**sent, "headers": headers})
        if method == "get" and path in LISTS:
            shown = {one["id"] for one in response.json()["items"]}
            theirs = {one["id"] for one in scene.client.get(path).json()["items"]}
            assert theirs, path
            assert not shown & theirs, path
        elif places or (isinstance(sent.get("json"), dict) and {"dataset", "connection"} & set(sent["json"])):
            assert response.status_code in REFUSED, (method, path, response.text)
            # Neither status nor words tell whether another project has it.
            missing = dict.fromkeys(places, "nothing_0")
            if places and response.status_code == 404 and "sample_id" not in places:
                absent = scene.client.request(method, path.format(**missing), **{**sent, "headers": headers})
                told = response.text
                for name, value in places.items():
                    told = told.replace(value, missing[name])
                assert (absent.status_code, absent.text) == (404, told), (method, path)
        else:
            continue
        walked += 1
    assert walked > 60
    # What was walked over is still there for its owner.
    for path in ("/datasets/ds_1", "/jobs/job_1", "/connections/con_1", f"/networks/{scene.made['free']}"):
        assert scene.client.get(path).status_code == 200, path
    assert scene.client.get("/jobs/job_2").json()["state"] == "queued"


def test_a_key_that_may_only_read_changes_nothing_by_any_route(scene: Scene, services: Services) -> None:
    key_of(services, scopes=["admin"])
    reader = key_of(services, scopes=["read"])
    refused = 0
    for method, path, operation in operations():
        if path in ("/healthz", "/readyz") or path.startswith("/ls/"):
            continue
        needed = scope_of_route(method.upper(), path)
        success = min(int(status) for status in operation["responses"])
        where, sent = SENT.get((method, path), {}).get(success, ({}, {}))
        if needed == AccessScope.READ:
            assert method == "get" or path in ("/jobs/estimate", "/sign-out"), path
            continue
        places = {name: scene.made.get(value, value) for name, value in where.items()}
        response = scene.client.request(method, path.format_map(_Anything(places)), **{**sent, "headers": reader})
        assert response.status_code == 403, (method, path, response.text)
        assert str(needed) in response.json()["detail"]
        refused += 1
    assert refused > 25


class _Anything(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "x"
