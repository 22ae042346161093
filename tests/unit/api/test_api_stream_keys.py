"""Streams of events end when their key does."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from httpx_sse import connect_sse

from service.services import Services
from tests.builders import add_finished, add_job, dataset_info
from tests.unit.api.test_api_keys import Headers, admin, app, at, created, sent

__all__ = ["admin", "app"]

STREAMS = ["/events", "/jobs/job_1/reviews/events", "/jobs/job_2/events"]


@pytest.fixture
def followed(services: Services) -> None:
    """A completed job, job_1, and one that waits, job_2."""
    add_finished(services.database, services.blobs)
    add_job(services.database, dataset_info(), job_id="job_2")


def follow(client: httpx.Client, path: str, headers: Headers, begun: threading.Event) -> Iterator[str]:
    """The events until the stream ends."""
    with connect_sse(client, "GET", path, headers={**headers, "Last-Event-ID": "0"}, timeout=30) as source:
        begun.set()
        for event in source.iter_sse():
            yield event.event


def reading(client: httpx.Client, path: str, headers: Headers) -> threading.Thread:
    """A thread that reads a stream, which has begun, to its end."""
    begun = threading.Event()
    reader = threading.Thread(target=lambda: list(follow(client, path, headers, begun)), daemon=True)
    reader.start()
    assert begun.wait(30)
    return reader


def has_ended(reader: threading.Thread) -> bool:
    """Whether it ends within seconds."""
    reader.join(6)
    return not reader.is_alive()


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_ends_when_its_key_is_revoked(client: httpx.Client, admin: Headers, followed: None, path: str) -> None:
    key = created(client, admin)
    reader = reading(client, path, sent(key))
    client.delete(f"/keys/{key['id']}", headers=admin).raise_for_status()
    assert has_ended(reader)


def test_a_stream_ends_when_its_key_expires(
    client: httpx.Client, services: Services, admin: Headers, followed: None
) -> None:
    now = services.now()
    key = created(client, admin, expires_at=(now + timedelta(hours=1)).isoformat())
    reader = reading(client, STREAMS[0], sent(key))
    at(services, now + timedelta(hours=2))
    assert has_ended(reader)


def test_a_stream_without_a_key_ends_when_keys_are_needed(client: httpx.Client, followed: None) -> None:
    reader = reading(client, STREAMS[0], {})
    created(client, scopes=["admin"])
    assert has_ended(reader)


def test_a_stream_goes_on_while_its_key_holds_and_its_end_counts_as_no_wrong_key(
    client: httpx.Client, services: Services, admin: Headers, followed: None
) -> None:
    key, other = created(client, admin), created(client, admin)
    reader = reading(client, STREAMS[0], sent(key))
    client.delete(f"/keys/{other['id']}", headers=admin).raise_for_status()
    assert not has_ended(reader)
    for _ in range(3):  # the limit here is three wrong keys
        client.delete(f"/keys/{key['id']}", headers=admin).raise_for_status()
        assert has_ended(reader)
        key = created(client, admin)
        reader = reading(client, STREAMS[0], sent(key))
    assert services.quotas.locked_out("127.0.0.1") is None
    client.delete(f"/keys/{key['id']}", headers=admin).raise_for_status()
    assert has_ended(reader)
