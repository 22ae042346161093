"""Queues of jobs: which workers hear of one, and what is told where none takes it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.background.wake import wake_due
from service.domain.ids import new_id
from service.services import Services
from service.settings import ANY_QUEUE
from service.store import workers
from service.store.clock import database_time
from service.store.tables import workers as workers_table
from tests.builders import add_dataset, sign_in
from tests.unit.test_cli import Suspects, suspects, terminal

__all__ = ["suspects", "terminal"]  # fixtures

LARGE = {"model": {"name": "ft_transformer"}}


@pytest.fixture(autouse=True)
def patient(services: Services) -> None:
    """A worker that has signed in lives for the whole test, also on a busy machine."""
    object.__setattr__(services, "settings", services.settings.model_copy(update={"heartbeat_seconds": 600}))


def submit(client: httpx.Client, services: Services, **options: Any) -> str:
    info = add_dataset(services.database, new_id("ds_"), blobs=services.blobs)
    job_id: str = client.post("/jobs", json={"dataset": info.id, **options}).json()["id"]
    return job_id


def sign_in_for(services: Services, *queues: str) -> None:
    """A worker that takes the jobs of these queues."""
    sign_in(services.database)
    with services.database.write() as connection:
        connection.execute(workers_table.update().values(queues=",".join(queues)))


def sweep(services: Services, seconds: float = 5) -> int:
    """Run one sweep so much later."""
    later = services.now() + timedelta(seconds=seconds)
    return wake_due(replace(services, now=lambda: later))


def test_the_queue_of_a_job_hears_of_it_when_it_is_submitted_tried_again_and_lost(
    client: httpx.Client, services: Services
) -> None:
    table, large = submit(client, services), submit(client, services, **LARGE)
    assert (services.queue.waiting(["cpu"]), services.queue.waiting(["gpu"])) == ({table}, {large})
    client.post(f"/jobs/{large}/cancel")
    client.post(f"/jobs/{large}/retry")
    assert services.queue.waiting(["cpu"]) == {table}
    assert services.queue.depth() == 3
    held = services.queue.waiting
    object.__setattr__(services.queue, "waiting", lambda _queues: set())  # the broker has lost all
    assert sweep(services) == 2
    assert (held(["cpu"]), held(["gpu"]), services.queue.depth()) == ({table}, {large}, 5)


def test_a_worker_of_an_earlier_version_hears_of_every_job_within_seconds(
    client: httpx.Client, services: Services
) -> None:
    found = {submit(client, services), submit(client, services, **LARGE)}
    sign_in(services.database)
    with services.database.write() as connection:
        connection.execute(workers_table.update().values(queues=None))
    assert sweep(services) == 2
    assert services.queue.waiting([ANY_QUEUE]) == found
    assert sweep(services, 3600) == 0


def test_a_job_that_no_worker_alive_takes_says_so_until_one_does(
    client: httpx.Client, services: Services, suspects: Suspects
) -> None:
    large, table = submit(client, services, **LARGE), submit(client, services)

    def details() -> list[str]:
        sweep(services)
        return [client.get(f"/jobs/{name}").json()["progress"]["detail"] for name in (large, table)]

    assert details() == ["waiting for a worker", "waiting for a worker"]
    sign_in_for(services, "cpu")
    assert details() == ["waiting for a worker of the queue gpu", "waiting for a worker"]
    answer = client.get("/readyz")
    assert (answer.status_code, "queue gpu" in answer.json()["checks"]["worker"]["detail"]) == (503, True)
    said = json.loads(suspects("doctor", "--json").out)
    (found,) = [one for one in said["items"] if one["check"] == "service's worker"]
    assert (found["status"], "queue gpu" in found["detail"]) == ("fault", True)
    with services.database.write() as connection:
        workers.record_heartbeat(connection, "w2", database_time(connection), ["gpu"])
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("cancelled", [False, True])
def test_queues_without_a_worker_are_no_fault_while_nothing_waits_for_one(
    client: httpx.Client, services: Services, cancelled: bool
) -> None:
    sign_in_for(services, "cpu")
    if cancelled:
        client.post(f"/jobs/{submit(client, services, **LARGE)}/cancel")
    submit(client, services)
    assert client.get("/readyz").status_code == 200


def test_metrics_tell_for_each_queue_the_jobs_that_wait_and_the_workers_that_take_them(
    client: httpx.Client, services: Services
) -> None:
    for options in ({}, LARGE, LARGE):
        submit(client, services, **options)
    sign_in_for(services, "cpu")
    lines = client.get("/metrics").text.splitlines()
    assert {line for line in lines if line.startswith(("suspects_queued_jobs{", "suspects_queue_workers{"))} == {
        'suspects_queued_jobs{queue="gpu"} 2.0',
        'suspects_queued_jobs{queue="cpu"} 1.0',
        'suspects_queue_workers{queue="gpu"} 0.0',
        'suspects_queue_workers{queue="cpu"} 1.0',
    }
