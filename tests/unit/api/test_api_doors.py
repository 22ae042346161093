"""What every answer says to browsers, and what is refused at the door: other sites, large JSON, slow bodies."""

import gc
import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest

from service.api.http import bodies
from service.settings import Settings
from tests.builders import CSV, form

PAUSE_S = 1.5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Slow bodies are cut off soon."""
    return settings.model_copy(update={"body_seconds": PAUSE_S})


@pytest.mark.parametrize(
    ("method", "path", "kept"),
    [
        ("GET", "/healthz", "no-store"),
        ("GET", "/jobs", "no-store"),
        ("GET", "/nothing", "no-store"),
        ("POST", "/jobs", "no-store"),
        ("GET", "/jobs/%00", "no-store"),
        ("POST", "/datasets", "no-store"),
    ],
)
def test_every_answer_tells_browsers_to_be_careful(client: httpx.Client, method: str, path: str, kept: str) -> None:
    headers = client.request(method, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    # What has an ETag is kept to be asked for again.
    assert headers["Cache-Control"] == ("private, no-cache" if "ETag" in headers else kept)
    page = client.get("/docs").headers
    assert (page["Cache-Control"], page["Content-Security-Policy"].partition(" ")[0]) == ("no-cache", "default-src")
    assert len(headers.get_list("Content-Security-Policy")) == 1


_LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def test_other_sites_change_and_read_nothing_where_there_are_no_keys(client: httpx.Client) -> None:
    other = {"Sec-Fetch-Site": "cross-site"}
    for refused in (
        client.post("/datasets", **form(), headers=other),
        client.post("/datasets", **form(), headers={**other, **_LINK}),
        client.get("/datasets", headers=other),
        client.get("/datasets", headers={**other, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
        client.get("/datasets", headers={**other, **_LINK, "Sec-Fetch-Dest": "iframe"}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for site in ("none", "same-origin"):
        assert client.post("/datasets", **form(spec={"label": "animal"}), headers={"Sec-Fetch-Site": site}).is_success


def test_a_person_may_follow_a_link_of_another_site(client: httpx.Client) -> None:
    for path in ("/datasets", "/"):
        answer = client.get(path, headers={"Sec-Fetch-Site": "cross-site", **_LINK})
        assert answer.status_code in (200, 503)  # the page need not be built


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({f"k{i}": i for i in range(400_000)}, "more than 20,000 names"),
        ({"dataset": [0] * 1_000_001}, "more than 1,000,000 values"),
        ({"x" * 1_001: 1}, "name of more than 1,000 characters"),
        (json.loads("[" * 101 + "]" * 101), "nested more than 100 deep"),
    ],
    ids=["names", "values", "long name", "depth"],
)
def test_json_that_takes_long_to_validate_is_refused_before(client: httpx.Client, body: Any, fault: str) -> None:
    refused = client.post("/jobs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert fault in refused.json()["detail"]


@pytest.mark.parametrize("inner", [b"[],", b"{},"])
def test_json_with_more_lists_and_objects_than_any_body_has_is_refused_unparsed(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, inner: bytes
) -> None:
    def parse(_: bytes) -> None:
        raise AssertionError("it is parsed")

    monkeypatch.setattr(bodies, "_parsed_json", parse)
    content, kind = b"[" + inner * 500_000 + inner[:2] + b"]", {"Content-Type": "application/json"}
    for refused in (
        client.post("/jobs/estimate", content=content, headers=kind),
        client.post("/jobs", files={"file": ("a.csv", CSV)}, data={"spec": content.decode()}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert "more than 500,000 lists and objects" in refused.json()["detail"]


def test_large_json_is_not_parsed_where_all_requests_are_answered(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, parse = [], bodies.loads

    def watched(text: bytes, what: str) -> Any:
        seen.append(threading.current_thread().name)
        return parse(text, what)

    monkeypatch.setattr(bodies, "loads", watched)
    for size in (1, 100_000):
        assert client.post("/jobs/estimate", json={"dataset": "x" * size}).status_code == 404
    small, large = seen
    assert (small.startswith("AnyIO"), large.startswith("AnyIO")) == (False, True)
    assert gc.isenabled()  # which is switched off meanwhile


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET, HEAD, POST"),
        ("OPTIONS", "/jobs", "GET, HEAD, POST"),
        ("PATCH", "/jobs/job_1", "DELETE, GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_is_answered_with_all_that_are(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    refused = client.request(method, path)
    assert (refused.status_code, refused.headers["Allow"]) == (405, allowed)


def test_of_many_faults_the_first_are_listed(client: httpx.Client) -> None:
    body = client.post("/jobs", json={f"k{i}": "v" for i in range(15_000)}).json()
    assert body["status"] == 422
    assert len(body["errors"]) == 101
    assert body["errors"][-1]["msg"] == "14,901 more faults are not listed"


@pytest.mark.parametrize("pieces", [1, 10_000], ids=["pause", "drops"])
def test_a_client_that_sends_its_body_slowly_is_cut_off(client: httpx.Client, pieces: int) -> None:
    """One byte and then none, or a byte now and then."""
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(head)
        connection.setblocking(False)
        answer = b""
        deadline = time.monotonic() + 30
        while b"\r\n\r\n" not in answer:
            assert time.monotonic() < deadline, "nobody is cut off"
            if pieces:
                connection.sendall(b" ")
                pieces -= 1
            time.sleep(0.05)
            try:
                answer += connection.recv(10_000)
            except BlockingIOError:
                continue
        connection.settimeout(10)
        while more := connection.recv(10_000):  # and then the connection ends
            answer += more
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"SUSPECTS_BODY_SECONDS" in answer
