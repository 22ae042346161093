"""How long a job would take, before it is submitted."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.actions.estimate_duration import estimate_job
from service.domain.auto import from_scratch, with_network
from service.domain.specs import JobRequest, JobSpec
from service.services import Services
from service.store.engine import Database
from service.store.tables import jobs
from tests.builders import NOON, add_dataset, add_finished, add_job, form, image_zip

URL = "/jobs/estimate"


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post(URL, json={"dataset": "ds_1", **body})


def test_nothing_is_known_before_the_first_job_and_nothing_is_made(client: httpx.Client, services: Services) -> None:
    add_dataset(services.database, blobs=services.blobs)
    found = ask(client)
    assert found.status_code == httpx.codes.OK
    assert (found.json()["seconds"], found.json()["basis"]) == (None, "no job of this model has run here yet")
    assert client.get("/jobs").json()["total"] == 0


def test_a_job_like_one_before_takes_about_as_long(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    with services.database.write() as connection:
        ended = services.now() - timedelta(minutes=12)
        connection.execute(jobs.update().values(started_at=ended - timedelta(seconds=2), finished_at=ended))
    found = ask(client).json()
    assert 0 < found["seconds"]["low"] <= 0.7 * 2
    assert found["seconds"]["high"] >= 1.3 * 2
    assert found["basis"] == "from 1 job of this model here, the last 12 minutes ago"
    longer = ask(client, training={"epochs": 1500}).json()
    assert longer["seconds"]["low"] > found["seconds"]["high"]
    assert ask(client, model={"name": "ft_transformer"}).json()["seconds"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"name": "night run"},
        {"training": {"epochs": 3, "learning_rate": 0.5}, "signals": ["si"], "reference": {"holdout": 0.2}},
        {"reference": {"split": "test"}, "webhook": {"url": "https://example.org/", "secret": "whsec_" + "MfKQ" * 8}},
    ],
)
def test_the_spec_is_the_one_that_the_job_has(client: httpx.Client, services: Services, body: dict[str, Any]) -> None:
    add_dataset(services.database, blobs=services.blobs)
    estimated = ask(client, **body)
    submitted = client.post("/jobs", json={"dataset": "ds_1", **body})
    assert submitted.status_code == httpx.codes.ACCEPTED, submitted.text
    assert estimated.json()["spec"] == submitted.json()["spec"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataset": "ds_0"},
        {"training": {"epochs": 0}},
        {"training": {"epochs": 2, "checkpoints": 3}},
        {"model": {"name": "resnet20"}},
        {"model": {"name": "mlp", "params": {"width": 0}}},
        {"reference": {"samples": ["row-x"]}},
        {"reference": {"verified": True}},
        {"signals": ["x"]},
        {"unknown": 1},
    ],
)
def test_it_is_refused_for_the_reasons_of_the_job(
    client: httpx.Client, services: Services, body: dict[str, Any]
) -> None:
    add_dataset(services.database, blobs=services.blobs)
    sent = {"dataset": "ds_1", **body}
    estimated, submitted = (client.post(path, json=sent) for path in (URL, "/jobs"))
    assert estimated.status_code == submitted.status_code >= httpx.codes.BAD_REQUEST
    assert estimated.json()["errors"] == submitted.json()["errors"]


def test_larger_images_take_longer(client: httpx.Client, services: Services) -> None:
    names = [f"{'ab'[place % 2]}/{place}.png" for place in range(12)]
    made = client.post("/datasets", **form(image_zip(names), "images.zip", {"id": "file_name"})).json()["id"]
    model = {"name": "small_cnn", "params": {"image_size": 16}}
    client.post("/jobs", json={"dataset": made, "model": model})
    with services.database.write() as connection:
        done = {"timings": {"training_s": 30.0}, "samples": 12, "estimates": None}
        times = {"started_at": NOON, "finished_at": NOON + timedelta(seconds=30)}
        connection.execute(jobs.update().values(state="completed", attempts=1, result=done, **times))

    def middle(**params: Any) -> float:
        asked = {"dataset": made, "model": {"name": "small_cnn", "params": params}}
        seconds = client.post(URL, json=asked).json()["seconds"]
        return float((seconds["low"] * seconds["high"]) ** 0.5)

    assert middle(image_size=16) == pytest.approx(30, rel=0.05)
    assert middle(image_size=32) == pytest.approx(120, rel=0.05)
    assert middle() == pytest.approx(30 / 4, rel=0.05), "the images have 8 pixels a side"


def test_interrupted_jobs_are_not_counted_on_either_database(services: Services, database: Database) -> None:
    here = Services(**{**vars(services), "database": database})
    add_finished(database, services.blobs)
    request = JobRequest(dataset="ds_1")
    assert estimate_job(here, request).duration.seconds is not None
    with database.write() as connection:
        connection.execute(jobs.update().values(finished_at=NOON + timedelta(hours=1)))
    assert estimate_job(here, request).duration.seconds is None, "its phases are a second of an hour"
    with database.write() as connection:
        connection.execute(jobs.update().values(finished_at=NOON, attempts=2))
    assert estimate_job(here, request).duration.seconds is None


def test_texts_are_estimated_by_the_model_that_workers_chose_for_the_last_of_them(
    services: Services, database: Database
) -> None:
    here = Services(**{**vars(services), "database": database})

    def completed(job_id: str, seconds: float, decide: Callable[[JobSpec], JobSpec]) -> None:
        info = add_dataset(database, f"ds_{job_id}", services.blobs, modality="text", digest=f"sha256:{job_id}")
        spec = decide(add_job(database, info, job_id))
        done = {"timings": {"training_s": seconds}, "samples": 9, "estimates": None}
        ended = services.now() + timedelta(seconds=seconds)
        with database.write() as connection:
            connection.execute(
                jobs.update()
                .where(jobs.c.id == job_id)
                .values(spec=spec.model_dump(mode="json"), state="completed", attempts=1, result=done)
                .values(started_at=services.now(), finished_at=ended)
            )

    def middle() -> float:
        found = estimate_job(here, JobRequest(dataset="ds_job_1"))
        assert found.spec.fallback is not None
        assert found.spec.fallback.used is None
        assert found.duration.seconds is not None
        low, high = found.duration.seconds
        return float((low * high) ** 0.5)

    completed("job_1", 10, lambda spec: from_scratch(spec, "none is installed"))
    assert middle() == pytest.approx(10, rel=0.05)
    completed("job_2", 100, lambda spec: with_network(spec, "own"))
    assert middle() == pytest.approx(100, rel=0.05)
