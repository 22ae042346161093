"""Requests to a labelling tool: which token goes where, what is tried again, what is refused. The tool is a stand-in."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.domain.errors import Invalid, Upstream
from service.label_studio import client as module
from service.label_studio import session
from service.label_studio.client import LabelStudio
from service.label_studio.session import Refused
from tests.stand_in import PERSONAL, TOKEN, StandIn, jwt, standing_in, text_task


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[StandIn]:
    with standing_in() as running:
        yield running


def client(tool: StandIn, token: str = TOKEN, *, allow_private: bool = True) -> LabelStudio:
    return LabelStudio(tool.url, token, allow_private=allow_private, pause=0.001)


def test_each_kind_of_token_is_told_from_itself_and_sent_in_its_own_way(tool: StandIn) -> None:
    with client(tool) as legacy, client(tool, PERSONAL) as personal:
        assert (legacy.token_kind, personal.token_kind) == ("legacy", "personal")
        assert legacy.check() == personal.check()
    sent = [one.authorization for one in tool.heard if one.path == "/api/version"]
    assert sent[0] == f"Token {TOKEN}"
    assert sent[1] == f"Bearer {next(iter(tool.access))}"


def test_a_personal_token_is_exchanged_once_and_never_sent_as_it_is(tool: StandIn) -> None:
    with client(tool, PERSONAL) as personal:
        for _ in range(3):
            personal.project(7)
    assert len(tool.paths("/api/token/refresh/")) == 1
    assert not [one for one in tool.heard if PERSONAL in str(one.authorization)]


def test_an_access_token_is_renewed_before_it_ends(tool: StandIn) -> None:
    tool.life_s = 20  # less than the half minute ahead
    with client(tool, PERSONAL) as personal:
        personal.project(7)
        personal.project(7)
    assert len(tool.paths("/api/token/refresh/")) == 2


def test_an_access_token_that_is_refused_is_renewed_and_the_request_said_again(tool: StandIn) -> None:
    with client(tool, PERSONAL) as personal:
        personal.project(7)
        tool.access.clear()
        assert personal.project(7)["id"] == 7
    assert [one.partition("?")[0] for one in tool.paths()[-3:]] == [
        "/api/projects/7/",
        "/api/token/refresh/",
        "/api/projects/7/",
    ]


@pytest.mark.parametrize("token", ["0" * 40, jwt("refresh", jti="another")])
def test_a_refused_token_is_said_without_the_token(tool: StandIn, token: str) -> None:
    with client(tool, token) as refused, pytest.raises(Refused, match="refuses the token \\(401\\)") as told:
        refused.project(7)
    assert token not in str(told.value)


def test_what_is_hidden_is_not_told_wherever_a_long_answer_is_cut(tool: StandIn) -> None:
    for before in range(200, 320, 7):
        tool.echo = before
        with client(tool) as refused:
            refused.redact("secret-of-a-path")
            with pytest.raises(Refused) as told:
                refused.request("POST", "/api/webhooks/secret-of-a-path", json={})
        assert "xxx" in str(told.value)
        assert "secret" not in str(told.value)


def test_a_token_goes_to_its_own_server_alone(tool: StandIn, elsewhere: StandIn) -> None:
    elsewhere.files["/public/1.png"] = tool.files["/data/upload/1.png"] = b"picture"
    tool.moved["/data/upload/moved.png"] = f"{elsewhere.url}/public/1.png"
    with client(tool) as one:
        assert one.download("/data/upload/1.png", 1) == b"picture"
        assert one.download("/data/upload/moved.png", 1) == b"picture"
        assert one.download(f"{elsewhere.url}/public/1.png", 1) == b"picture"
    assert [one.authorization for one in elsewhere.heard] == [None, None]
    assert {one.authorization for one in tool.heard} == {f"Token {TOKEN}"}


def test_the_api_is_not_followed_to_another_server(tool: StandIn, elsewhere: StandIn) -> None:
    tool.moved["/api/projects/7/"] = f"{elsewhere.url}/api/projects/7/"
    with client(tool) as one, pytest.raises(Refused, match=f"redirects to {elsewhere.url}; give that address"):
        one.project(7)
    assert not elsewhere.heard


def test_redirects_without_end_end(tool: StandIn) -> None:
    tool.moved["/data/upload/1.png"] = "/data/upload/1.png"
    with client(tool) as one, pytest.raises(Refused, match="more than 5 redirects"):
        one.download("/data/upload/1.png", 1)


def test_pages_end_where_the_next_one_is_a_404(tool: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    tool.tasks = [text_task(number, "cat") for number in range(1, 5)]
    tool.total = 100  # more than there are: some were deleted meanwhile
    with client(tool) as one:
        assert [[task["id"] for task in page] for page in one.tasks(7)] == [[1, 2], [3, 4]]
    assert tool.paths("/api/tasks/")[-1].startswith("/api/tasks/?project=7&page=3")


def test_a_missing_project_is_no_empty_one(tool: StandIn) -> None:
    tool.answers = [404]
    with client(tool) as one, pytest.raises(Refused, match="404"):
        list(one.tasks(8))


@pytest.mark.parametrize("busy", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(tool: StandIn, busy: int) -> None:
    tool.answers = [busy, busy]
    with client(tool) as one:
        assert one.project(7)["title"] == "animals"
    assert len(tool.heard) == 3


@pytest.mark.parametrize(("busy", "said"), [(503, 5), (502, 1), (500, 1)])
def test_what_may_have_been_done_is_not_said_twice(tool: StandIn, busy: int, said: int) -> None:
    tool.answers = [busy] * 9
    with client(tool) as one, pytest.raises(Refused, match=str(busy)):
        one.request("POST", "/api/predictions/", json={})
    assert len(tool.heard) == said


def test_a_server_that_is_not_there_is_said(tool: StandIn) -> None:
    url = "http://127.0.0.1:1"
    with LabelStudio(url, TOKEN, allow_private=True, pause=0.001) as one, pytest.raises(Upstream, match=url):
        one.project(7)


def test_a_server_that_is_silent_is_said(tool: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_TIMEOUT", httpx.Timeout(0.02))
    tool.delay_s = 0.2
    with client(tool) as one, pytest.raises(Upstream, match="did not answer GET /api/projects/7/ in time"):
        one.project(7)


def test_another_kind_of_server_is_told_from_label_studio(tool: StandIn) -> None:
    tool.answers = [b"<html>"]
    with client(tool) as one, pytest.raises(Refused, match="is this Label Studio's address"):
        one.project(7)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://169.254.169.254", "http://[::1]:1"])
def test_addresses_inside_are_refused_unless_allowed(tool: StandIn, url: str) -> None:
    with LabelStudio(url, TOKEN, allow_private=False) as one:
        with pytest.raises(Invalid, match="SUSPECTS_ALLOW_PRIVATE_CONNECTIONS"):
            one.project(7)
        with pytest.raises(Invalid, match="SUSPECTS_ALLOW_PRIVATE_CONNECTIONS"):
            one.download(f"{tool.url}/public/1.png", 1)
    assert not tool.heard


def test_a_file_is_read_from_wherever_a_task_points(tool: StandIn) -> None:
    stored = base64.urlsafe_b64encode(b"s3://bucket/1.png").decode()
    tool.files["/tasks/3/resolve/"] = b"stored"
    with client(tool) as one:
        assert one.download("s3://bucket/1.png", 3) == b"stored"
        assert one.download("data:image/png;base64,aGVsbG8=", 3) == b"hello"
        with pytest.raises(Refused, match="no base 64"):
            one.download("data:image/png;base64,!", 3)
    assert tool.paths() == [f"/tasks/3/resolve/?fileuri={stored}"]


def test_a_file_that_is_too_large_is_not_read_to_its_end(tool: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_FILE_BYTES", 1000)
    tool.files |= {"/data/small": b"x" * 1000, "/data/large": b"x" * 1001}
    with client(tool) as one:
        assert len(one.download("/data/small", 1)) == 1000
        with pytest.raises(Refused, match="more than 1,000 bytes"):
            one.download("/data/large", 1)


@pytest.mark.parametrize("body", [{"access": 7}, {}, [], {"access": "a.b.c"}])
def test_an_exchange_that_answers_nonsense_ends_in_a_refusal(
    tool: StandIn, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "exchange", lambda _: (200, body))
    with client(tool, PERSONAL) as one, pytest.raises(Refused, match="refuses the token"):
        one.project(7)
    assert json.loads(tool.heard[0].body) == {"refresh": PERSONAL}
