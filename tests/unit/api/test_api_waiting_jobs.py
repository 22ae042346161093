"""Jobs that wait: their messages, the sweep over them, and how many there may be."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import httpx
import pytest
import redis

from service.actions.submit import check_room
from service.background.wake import wake_due
from service.domain.errors import TooMany
from service.queue import CeleryQueue
from service.services import Services
from service.settings import JOB_TASK, Settings
from service.store import jobs
from service.store.leases import LeaseWatch
from tests.builders import LEASE, add_dataset, add_job
from tests.submissions import messages, submit


def test_the_queue_hears_of_a_job_by_name_and_priority(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    for priority in (0, 4, 9):
        job = submit(client, dataset=info.id, priority=priority)
        (message,) = messages(settings, priority)
        assert message["headers"]["task"] == JOB_TASK
        assert job["id"] in message["headers"]["argsrepr"]
    assert services.queue.depth() == 3


def test_a_dead_broker_neither_fails_nor_loses_a_job(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    away = CeleryQueue(settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    live = services.queue
    object.__setattr__(services, "queue", away)
    job = submit(client, dataset=info.id)
    assert client.get("/readyz").json()["checks"]["broker"]["ok"] is False
    object.__setattr__(services, "queue", live)
    away.close()
    later = services.now() + 2 * LEASE
    assert wake_due(replace(services, queue=away, now=lambda: later)) == 0
    assert wake_due(replace(services, now=lambda: later)) == 1
    assert job["id"] in messages(settings)[0]["headers"]["argsrepr"]


def test_a_message_that_the_broker_lost_is_sent_again_within_seconds_whatever_else_waits(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    lost, cancelled = submit(client, dataset=info.id), submit(client, dataset=info.id, priority=3)
    submit(client, dataset=info.id)
    client.post(f"/jobs/{cancelled['id']}/cancel")  # its message stays
    with redis.Redis.from_url(settings.broker_url) as broker:
        name = "cpu\x06\x169"
        (first,) = [raw for raw in broker.lrange(name, 0, -1) if lost["id"].encode() in raw]
        broker.lrem(name, 1, first)
        broker.rpush("cpu", b"not ours")
    assert wake_due(services) == 0  # a worker may have taken it
    soon = services.now() + timedelta(seconds=5)
    assert wake_due(replace(services, now=lambda: soon)) == 1
    assert (services.queue.waiting() or set()) >= {lost["id"], cancelled["id"]}
    assert wake_due(replace(services, now=lambda: soon + timedelta(hours=1))) == 0


def test_the_sweep_tells_nobody_twice_while_the_message_still_waits(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    submit(client, dataset=add_dataset(services.database, blobs=services.blobs).id)
    moments = [services.now() + later * 2 * LEASE for later in range(1, 4)]
    for moment in moments:
        assert wake_due(replace(services, now=partial(lambda at: at, moment))) == 0
    assert services.queue.depth() == 1


def test_a_full_queue_says_when_to_come_back(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    object.__setattr__(services, "settings", services.settings.model_copy(update={"max_waiting_jobs": 2}))
    submit(client, dataset=info.id)
    submit(client, dataset=info.id)
    response = client.post("/jobs", json={"dataset": info.id})
    assert (response.status_code, int(response.headers["Retry-After"]) > 0) == (429, True)


def test_a_lease_that_ran_out_is_told_in_the_metrics(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs), "job_1")
    with services.database.write() as connection:
        assert jobs.claim(connection, "job_1", "w", LEASE, services.now())
    clock = [0.0]
    object.__setattr__(services, "leases", LeaseWatch(lambda: clock[0]))
    for _ in range(6):
        wake_due(services)
        clock[0] += services.settings.lease_seconds
    told = client.get("/metrics").text
    assert "\nsuspects_leases_expired_total 1.0\n" in told
    assert '\nsuspects_jobs_ended_total{state="completed"} 0.0\n' in told


def test_a_full_queue_of_one_project_is_no_matter_of_another(client: httpx.Client, services: Services) -> None:
    object.__setattr__(services, "settings", services.settings.model_copy(update={"max_waiting_jobs": 2}))
    other = services.of("other")
    info = add_dataset(other.database, "ds_other", services.blobs)
    for number in range(2):
        add_job(other.database, info, f"job_other{number}")
    mine = add_dataset(services.database, blobs=services.blobs)
    submit(client, dataset=mine.id)
    with other.database.read() as connection, pytest.raises(TooMany, match="2 jobs of this project"):
        check_room(other, connection)
