"""The life of a job as a stream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from service.domain.job import JobError, Progress, State
from service.services import Services
from service.store import job_events, jobs
from tests.builders import LEASE, add_dataset, add_finished, add_job

URL = "/jobs/job_1/events"


@contextmanager
def listening(client: httpx.Client, after: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with connect_sse(client, "GET", URL, headers=headers, timeout=20) as source:
        yield source.iter_sse()


def listen(client: httpx.Client, after: str | None = None) -> list[tuple[str, str, object]]:
    with listening(client, after) as events:
        return [(event.id, event.event, event.json().get("state")) for event in events]


def test_a_finished_job_tells_its_whole_life_and_ends(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    assert listen(client) == [
        ("1", "state", "queued"),
        ("2", "state", "preparing"),
        ("3", "state", "training"),
        ("4", "metrics", None),
        ("5", "state", "scoring"),
        ("6", "state", "ranking"),
        ("7", "state", "completed"),
    ]


def test_a_stream_goes_on_after_the_last_event_seen(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    whole = listen(client)
    for seen in range(7):
        assert listen(client, str(seen)) == whole[seen:]


@pytest.mark.parametrize("after", ["7", "8", "99999999999999999999"])
def test_whoever_resumes_after_the_end_still_learns_it(client: httpx.Client, services: Services, after: str) -> None:
    add_finished(services.database, services.blobs)
    assert [event[1:] for event in listen(client, after)] == [("state", "completed")]


def test_a_running_job_is_followed_to_its_end(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database))
    now = services.now()
    with listening(client) as events:
        assert (next(events).json(), next(events).event) == ({"state": "queued"}, "progress")
        with services.database.write() as connection:
            held = jobs.claim(connection, "job_1", "w", LEASE, now)
            assert held is not None
        assert next(events).json()["state"] == "preparing"
        assert next(events).json()["phase"] == "preparing"
        halfway = Progress(fraction=0.5, phase="preparing", detail="half", eta_seconds=3)
        with services.database.write() as connection:
            jobs.renew(connection, held, halfway, LEASE, now)
        told = next(events)
        assert (told.event, told.id, told.json()) == ("progress", "2", halfway.model_dump())
        with services.database.write() as connection:
            job_events.record(connection, "job_1", "metrics", {"epoch": 1, "loss": 0.5, "accuracy": 0.75}, now)
        metrics = next(events)
        assert (metrics.event, metrics.id, metrics.json()["loss"]) == ("metrics", "3", 0.5)
        with services.database.write() as connection:
            jobs.fail(connection, held, JobError(code="diverged", detail="lower the rate"), now)
        end = next(events)
        assert (end.id, end.json()["state"], end.json()["error"]["code"]) == ("4", "failed", "diverged")
        assert list(events) == []


def test_a_retried_job_is_not_taken_for_ended(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database))
    with services.database.write() as connection:
        jobs.cancel(connection, "job_1", services.now())
        jobs.retry(connection, "job_1", services.now())
    with listening(client) as events:
        assert [next(events).json().get("state") for _ in range(3)] == ["queued", "cancelled", "queued"]
        client.post("/jobs/job_1/cancel")
        assert [event.json().get("state") for event in events if event.event == "state"] == [State.CANCELLED]


def test_a_deleted_job_ends_its_stream(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database))
    with listening(client) as events:
        next(events)
        with services.database.write() as connection:
            jobs.cancel(connection, "job_1", services.now())
            jobs.remove(connection, "job_1")
        assert [event for event in events if event.event == "state"] == []


def test_many_listeners_leave_room_for_others(client: httpx.Client, server: str, services: Services) -> None:
    add_job(services.database, add_dataset(services.database))
    heard = []

    def run() -> None:
        with httpx.Client(base_url=server, trust_env=False, timeout=60) as mine:
            heard.append(listen(mine)[-1][2])

    threads = [threading.Thread(target=run) for _ in range(60)]
    for thread in threads:
        thread.start()
    assert client.get("/jobs/job_1").status_code == 200
    client.post("/jobs/job_1/cancel")
    for thread in threads:
        thread.join()
    assert heard == ["cancelled"] * 60


@pytest.mark.parametrize("after", ["x", "-1", "1.5"])
def test_an_id_that_never_was_is_refused(client: httpx.Client, services: Services, after: str) -> None:
    add_finished(services.database, services.blobs)
    assert client.get(URL, headers={"Last-Event-ID": after}).status_code == 400
