"""Webhooks over HTTP: asked for with a job, listed, revived; their secrets are shown to nobody."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from service.background.webhooks import deliver_due
from service.main import create_app
from service.services import Services
from service.settings import Settings
from tests.builders import CSV, add_dataset, form
from tests.receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    changes = {"allow_private_webhooks": True, **getattr(request, "param", {})}
    return create_app(settings.model_copy(update=changes))


def submit(client: httpx.Client, services: Services, url: str, secret: str = SECRET) -> httpx.Response:
    if not client.get("/datasets").json()["total"]:
        add_dataset(services.database, blobs=services.blobs)
    return client.post("/jobs", json={"dataset": "ds_1", "webhook": {"url": url, "secret": secret}})


@pytest.mark.parametrize("app", [{"sweep_seconds": 0.05}], indirect=True)
def test_the_service_tells_by_itself_how_a_job_ended(
    client: httpx.Client, services: Services, receiver: Receiver
) -> None:
    job = submit(client, services, receiver.url()).json()
    client.post(f"/jobs/{job['id']}/cancel")
    deadline = time.monotonic() + 20
    while not receiver.heard and time.monotonic() < deadline:
        time.sleep(0.02)
    ((_, headers, body),) = receiver.heard
    told = Webhook(SECRET).verify(body, headers)
    assert (told["type"], told["data"]["id"]) == ("job.cancelled", job["id"])


def test_a_form_may_ask_for_a_webhook_too(client: httpx.Client, services: Services, receiver: Receiver) -> None:
    webhook = {"url": receiver.url(), "secret": SECRET}
    response = client.post("/jobs", **form(CSV, spec={"dataset": {"label": "animal"}, "webhook": webhook}))
    assert (response.status_code, response.json()["spec"]["webhook"]) == (
        202,
        {"url": f"http://127.0.0.1:{receiver.port}/hook?…"},
    )


def test_messages_are_listed_and_dead_ones_sent_again(
    client: httpx.Client, services: Services, receiver: Receiver
) -> None:
    receiver.answers = [410, 500, 200]
    ids = [submit(client, services, receiver.url()).json()["id"] for _ in range(2)]
    for job_id in ids:
        client.post(f"/jobs/{job_id}/cancel")
        deliver_due(services)
    (dead,) = client.get("/deliveries", params={"state": "dead"}).json()["items"]
    assert (dead["job"], dead["event"], dead["status"], dead["due_at"]) == (ids[0], "job.cancelled", 410, None)
    assert dead["url"] == f"http://127.0.0.1:{receiver.port}/hook?…"
    (waits,) = client.get("/deliveries", params={"state": "pending"}).json()["items"]
    assert (waits["job"], waits["attempts"], waits["error"]) == (ids[1], 1, "answered 500")
    assert client.get("/deliveries", params={"job": ids[1]}).json()["items"] == [waits]
    first = client.get("/deliveries", params={"limit": 1}).json()
    second = client.get("/deliveries", params={"limit": 1, "cursor": first["next"]}).json()
    assert [*first["items"], *second["items"]] == [waits, dead]
    assert (first["total"], second["next"]) == (2, None)
    again = client.post(f"/deliveries/{dead['id']}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    deliver_due(services)
    assert client.get(f"/deliveries/{dead['id']}").json()["state"] == "delivered"
    assert client.post(f"/deliveries/{dead['id']}/retry").status_code == 409


@pytest.mark.parametrize("app", [{"allow_private_webhooks": False}], indirect=True)
@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:1/", 422),
        ("http://localhost/", 422),
        ("http://[::1]/", 422),
        ("http://169.254.169.254/latest", 422),
        ("http://10.0.0.7/", 422),
        ("http://0/", 422),
        ("http://2130706433/", 422),
        ("http://0x7f.1/", 422),
        ("https://hooks.example/", 202),
    ],
)
def test_an_address_that_is_plainly_inside_is_refused_at_once(
    client: httpx.Client, services: Services, url: str, status: int
) -> None:
    response = submit(client, services, url)
    assert response.status_code == status
    if status == 422:
        assert response.json()["errors"][0]["loc"] == ["webhook", "url"]


def test_secrets_are_in_no_answer_and_no_log(
    client: httpx.Client, services: Services, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [500, 200]
    said: list[Any] = [submit(client, services, receiver.url()).text]
    job_id = client.get("/jobs").json()["items"][0]["id"]
    said += [submit(client, services, receiver.url(), bad).text for bad in (f"{SECRET}!", SECRET[:20], f"{SECRET} ")]
    said.append(submit(client, services, "https://user:hush@example.org/?token=hush").text)
    said.append(client.post(f"/jobs/{job_id}/cancel").text)
    for _ in range(2):
        deliver_due(services)
    paths = ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/events", "/deliveries", "/metrics")
    said += [client.get(path).text for path in paths]
    said += list(capfd.readouterr())
    assert receiver.heard
    for text in said:
        # Half a secret is a secret, and so is the token in the URL's query.
        assert SECRET[6:20] not in text
        assert "hush" not in text
