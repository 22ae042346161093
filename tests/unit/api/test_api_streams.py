"""Streams of what people and workers do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from service.api import streams
from service.domain.review import Decision
from service.services import Services
from service.settings import Settings
from service.store import jobs, reviews
from tests.builders import LEASE, add_dataset, add_finished, add_job
from tests.servers import reserved_port

REVIEWS = "/jobs/job_1/reviews"


@contextmanager
def listening(client: httpx.Client, url: str, after: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with connect_sse(client, "GET", url, headers=headers, timeout=20) as source:
        assert source.response.status_code == httpx.codes.OK
        yield source.iter_sse()


@pytest.fixture
def finished(services: Services) -> None:
    add_finished(services.database, services.blobs, rows=54, splits={"train": 41, "test": 13})


def say(client: httpx.Client, *said: dict[str, Any]) -> None:
    assert client.post(REVIEWS, json=list(said)).status_code == httpx.codes.CREATED


def shown(client: httpx.Client, sample_id: str) -> Any:
    return client.get(f"/jobs/job_1/samples/{sample_id}").json()["review"]


@pytest.mark.usefixtures("finished")
def test_a_review_is_told_as_the_ranking_shows_it_within_two_seconds(client: httpx.Client, services: Services) -> None:
    say(client, {"sample_id": "row-1", "decision": "keep"})  # before the stream: not told
    with listening(client, f"{REVIEWS}/events") as events:
        # From another process it would come so, without the service.
        later = threading.Timer(1, write, [services, Decision(sample_id="row-5", decision="remove", reviewer="Noor")])
        later.start()
        event = next(events)
        late = time.time() - services.now().timestamp()
        assert late < 2
        assert (event.event, event.json()["sample_id"]) == ("review", "row-5")
        assert event.json()["review"] == shown(client, "row-5")
        say(client, {"sample_id": "row-5", "decision": "withdraw"})
        assert next(events).json() == {"sample_id": "row-5", "review": None}


@pytest.mark.usefixtures("finished")
def test_a_review_is_told_to_whoever_has_an_answer_however_busy_the_database(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = streams._reviewed

    def late(*given: Any) -> streams.Reviewed:
        time.sleep(0.3)
        return look(*given)

    monkeypatch.setattr(streams, "_reviewed", late)
    with listening(client, f"{REVIEWS}/events") as events:
        say(client, {"sample_id": "row-1", "decision": "keep"})
        assert next(events).json()["sample_id"] == "row-1"


def write(services: Services, decision: Decision) -> None:
    with services.database.write() as connection:
        reviews.add(connection, "job_1", [decision], "api", services.now())


@pytest.mark.usefixtures("finished")
def test_a_stream_of_reviews_goes_on_after_the_last_event_seen(client: httpx.Client) -> None:
    say(client, *({"sample_id": f"row-{number}", "decision": "keep"} for number in (1, 2)))
    with listening(client, f"{REVIEWS}/events", "0") as events:
        first = [next(events), next(events)]
    assert {event.json()["sample_id"] for event in first} == {"row-1", "row-2"}
    say(client, {"sample_id": "row-3", "decision": "keep"}, {"sample_id": "row-53", "decision": "keep"})
    with listening(client, f"{REVIEWS}/events", first[-1].id) as events:
        assert {next(events).json()["sample_id"], next(events).json()["sample_id"]} == {"row-3", "row-53"}
    for broken in ("x", "job_1:", "job_1:x", "1,2", "job_1:1:2", "job_1:" + "9" * 30):
        assert client.get(f"{REVIEWS}/events", headers={"Last-Event-ID": broken}).status_code == httpx.codes.BAD_REQUEST


@pytest.mark.usefixtures("finished")
def test_many_reviews_at_once_are_one_event(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.streams._MOST", 10)
    with listening(client, f"{REVIEWS}/events", "0") as events:
        client.post(f"{REVIEWS}/bulk", json={"filter": {}, "decision": "keep"})
        assert next(events).event == "reviews"


def test_the_home_page_hears_of_every_job_and_dataset(client: httpx.Client, services: Services) -> None:
    with listening(client, "/events") as events:
        time.sleep(0.5)
        info = add_dataset(services.database)
        assert next(events).json() == {"kind": "dataset", "id": "ds_1", "changed": ["appeared"]}
        add_job(services.database, info)
        assert next(events).json() == {"kind": "job", "id": "job_1", "state": "queued", "changed": ["appeared"]}
        with services.database.write() as connection:
            jobs.claim(connection, "job_1", "w", LEASE, services.now())
        told = next(events).json()
        assert (told["state"], told["changed"]) == ("preparing", ["state", "progress"])
        client.post("/jobs/job_1/cancel")
        assert next(events).json()["state"] == "cancelled"
        client.delete("/jobs/job_1")
        assert next(events).json() == {"kind": "job", "id": "job_1", "changed": ["gone"]}
        client.delete("/datasets/ds_1")
        assert next(events).json() == {"kind": "dataset", "id": "ds_1", "changed": ["gone"]}


@pytest.mark.usefixtures("finished")
def test_the_home_page_hears_of_reviews(client: httpx.Client) -> None:
    with listening(client, "/events") as events:
        time.sleep(0.5)
        say(client, {"sample_id": "row-1", "decision": "keep"})
        assert next(events).json() == {"kind": "job", "id": "job_1", "state": "completed", "changed": ["reviews"]}


@pytest.mark.slow
def test_open_streams_do_not_keep_a_stopping_service_up(settings: Settings) -> None:
    environment = {**os.environ, "SUSPECTS_HOME": str(settings.home), "SUSPECTS_BROKER_URL": settings.broker_url}
    with reserved_port() as port:
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--port", str(port)]
        with (
            subprocess.Popen(command, env=environment) as service,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
        ):
            wait_for(client)
            with listening(client, "/events"):
                service.send_signal(signal.SIGTERM)
                service.wait(60)  # the server itself would wait for ever


def wait_for(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            client.get("/healthz")
        except httpx.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the service did not start")
