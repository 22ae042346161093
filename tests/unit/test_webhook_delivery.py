"""Webhooks: a real receiver on loopback, SQLite and PostgreSQL; time is an argument."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from pydantic import SecretStr
from standardwebhooks import Webhook

from service.background import webhooks as delivery
from service.background.webhooks import deliver_due, sign
from service.domain.job import JobError
from service.outbound import addresses
from service.outbound.addresses import is_public
from service.outbound.provider import Provider
from service.outbound.quotas import Quotas
from service.outbound.secrets import Vault
from service.queue import CeleryQueue
from service.services import Services
from service.settings import Settings
from service.store import jobs, tables, webhooks
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import LeaseLost
from service.store.webhooks import Delivery
from tests.builders import LEASE, NOON, add_dataset, add_job, end_leases, finish
from tests.receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND = timedelta(seconds=1)
ALLOWED = Settings(allow_private_webhooks=True)
KEYS = [Fernet.generate_key().decode() for _ in range(2)]
VAULT = Vault(Settings(secret_keys=SecretStr(KEYS[0])))
SEALED = VAULT.seal(SECRET)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def hooked(database: Database, receiver: Receiver) -> None:
    """Job 1 tells the receiver how it ends; job 2 tells nobody."""
    info = add_dataset(database)
    for job_id in ("job_1", "job_2"):
        add_job(database, info, job_id)
    with database.write() as connection:
        webhooks.add(connection, "job_1", receiver.url(), SEALED)


def cancel(database: Database, job_id: str = "job_1", at: datetime = NOON) -> None:
    with database.write() as connection:
        assert jobs.cancel(connection, job_id, at)


def deliver_at(database: Database, vault: Vault, settings: Settings, now: datetime) -> int:
    queue = CeleryQueue(settings)  # connects to nothing, as nothing is queued
    try:
        return deliver_due(
            Services(
                settings,
                database,
                Blobs(settings.home),
                queue,
                vault,
                Quotas(settings),
                Provider(settings),
                now=lambda: now,
            )
        )
    finally:
        queue.close()


def outbox(database: Database) -> list[Delivery]:
    with database.read() as connection:
        return list(reversed(webhooks.page(connection, None, None, None, 100)[0]))


def test_the_signature_is_that_of_the_standards_example() -> None:
    sent = datetime.fromtimestamp(1614265330, UTC)
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", sent, '{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_can_verify_what_it_hears(database: Database, receiver: Receiver) -> None:
    info = add_dataset(database, "ds_9")
    now = datetime.now(UTC)
    finish(database, "job_1", info, now=now)
    assert deliver_at(database, VAULT, ALLOWED, now) == 1
    ((path, headers, body),) = receiver.heard
    assert (path, headers["content-type"]) == ("/hook?token=hush", "application/json")
    told = Webhook(SECRET).verify(body, headers)
    assert (told["type"], datetime.fromisoformat(told["timestamp"])) == ("job.completed", now)
    assert told["data"] == {
        "id": "job_1",
        "name": "animals",
        "state": "completed",
        "dataset": "ds_1",
        "error": None,
        "estimates": told["data"]["estimates"],
        "links": {"self": "/jobs/job_1", "suspects": "/jobs/job_1/suspects"},
    }
    assert told["data"]["estimates"]["mislabeled"]["count"] == 2
    (found,) = outbox(database)
    assert (found.state, found.attempts, found.status, found.ended_at) == ("delivered", 1, 204, now)
    assert deliver_at(database, VAULT, ALLOWED, now + timedelta(days=9)) == 0


def test_every_end_is_told_once_and_of_jobs_with_a_webhook_alone(database: Database) -> None:
    cancel(database, "job_2")
    cancel(database)
    with database.write() as connection:
        assert not jobs.cancel(connection, "job_1", NOON)
        jobs.retry(connection, "job_1", NOON)
        held = jobs.claim(connection, "job_1", "w", LEASE, NOON)
        assert held is not None
        jobs.fail(connection, held, JobError(code="diverged", detail="loss is NaN"), NOON)
    found = outbox(database)
    assert [(one.job_id, one.event, one.state) for one in found] == [
        ("job_1", "job.cancelled", "pending"),
        ("job_1", "job.failed", "pending"),
    ]
    assert json.loads(found[1].body)["data"]["error"] == {"code": "diverged", "detail": "loss is NaN"}


def test_a_job_whose_workers_vanish_is_told_of(database: Database) -> None:
    with database.write() as connection:
        assert jobs.claim(connection, "job_1", "w", LEASE, NOON)
    end_leases(database)
    with database.write() as connection:
        jobs.take_due(connection, LEASE, 1, NOON + 2 * LEASE)
    assert [one.event for one in outbox(database)] == ["job.failed"]


def test_an_end_that_was_not_written_is_not_told(database: Database) -> None:
    with database.write() as connection:
        held = jobs.claim(connection, "job_1", "w", LEASE, NOON)
        jobs.cancel(connection, "job_1", NOON)
    assert held is not None
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.fail(connection, held, JobError(code="x", detail="y"), NOON)
    assert [one.event for one in outbox(database)] == ["job.cancelled"]


def test_a_receiver_that_fails_twice_hears_the_same_a_third_time(database: Database, receiver: Receiver) -> None:
    receiver.answers = [500, 503, 200]
    cancel(database)
    moments = [NOON, NOON + 5 * SECOND, NOON + 305 * SECOND]
    for moment in moments:
        assert deliver_at(database, VAULT, ALLOWED, moment - SECOND) == 0
        assert deliver_at(database, VAULT, ALLOWED, moment) == 1
    heard = receiver.heard
    assert len({(headers["webhook-id"], body) for _, headers, body in heard}) == 1
    assert [int(headers["webhook-timestamp"]) for _, headers, _ in heard] == [int(at.timestamp()) for at in moments]
    assert len({headers["webhook-signature"] for _, headers, _ in heard}) == 3
    (found,) = outbox(database)
    assert (found.state, found.attempts, found.status, found.error) == ("delivered", 3, 200, None)


def test_what_nobody_takes_is_dead_after_ten_attempts_and_can_be_revived(
    database: Database, receiver: Receiver
) -> None:
    receiver.answers = [500]
    cancel(database)
    moments = []
    now = NOON
    while (found := outbox(database)[0]).state == "pending":
        now = found.due_at
        moments.append(now)
        assert deliver_at(database, VAULT, ALLOWED, now) == 1
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    assert pauses == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert (found.state, found.attempts, found.error, found.ended_at) == ("dead", 10, "answered 500", now)
    assert deliver_at(database, VAULT, ALLOWED, now + timedelta(days=99)) == 0
    receiver.answers = [200]
    with database.write() as connection:
        assert webhooks.retry_dead(connection, found.id, now)
        assert not webhooks.retry_dead(connection, found.id, now)
    assert deliver_at(database, VAULT, ALLOWED, now) == 1
    assert outbox(database)[0].state == "delivered"
    assert len({headers["webhook-id"] for _, headers, _ in receiver.heard}) == 1


def test_a_receiver_that_is_gone_is_not_asked_again(database: Database, receiver: Receiver) -> None:
    receiver.answers = [410]
    cancel(database)
    deliver_at(database, VAULT, ALLOWED, NOON)
    (found,) = outbox(database)
    assert (found.state, found.attempts, found.status) == ("dead", 1, 410)


def test_nobody_listening_is_tried_again(database: Database, receiver: Receiver) -> None:
    with database.write() as connection:
        webhooks.add(connection, "job_2", "http://127.0.0.1:1/", SEALED)
    cancel(database, "job_2")
    deliver_at(database, VAULT, ALLOWED, NOON)
    (found,) = outbox(database)
    assert (found.state, found.attempts, found.status, found.error) == (
        "pending",
        1,
        None,
        "could not be reached: ConnectError",
    )


def test_no_redirect_is_followed(database: Database, receiver: Receiver) -> None:
    receiver.answers = [receiver.url("/elsewhere")]
    cancel(database)
    deliver_at(database, VAULT, ALLOWED, NOON)
    assert [path for path, _, _ in receiver.heard] == ["/hook?token=hush"]
    (found,) = outbox(database)
    assert (found.state, found.status, found.error) == (
        "pending",
        307,
        "answered 307; redirects are not followed",
    )


def test_nobody_inside_is_called_unless_the_installation_allows_it(database: Database, receiver: Receiver) -> None:
    cancel(database)
    assert deliver_at(database, VAULT, Settings(), NOON) == 1
    assert receiver.heard == []
    (found,) = outbox(database)
    assert (found.state, found.attempts, found.status) == ("pending", 1, None)
    assert found.error is not None
    assert "SUSPECTS_ALLOW_PRIVATE_WEBHOOKS" in found.error


def test_the_address_that_was_checked_is_the_one_that_is_called(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The name service is a stand-in, for which 127.0.0.1 counts as public: no public address can be had here.
    looked_up = []

    def look_up(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if looked_up == ["hooks.example"] else ["10.255.255.1"]

    monkeypatch.setattr(addresses, "_resolve", look_up)
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or is_public(address))
    with database.write() as connection:
        webhooks.add(connection, "job_2", f"http://hooks.example:{receiver.port}/hook", SEALED)
    cancel(database, "job_2")
    deliver_at(database, VAULT, Settings(), NOON)
    assert [headers["host"] for _, headers, _ in receiver.heard] == [f"hooks.example:{receiver.port}"]
    # The name leads inside from now on, and is not called there.
    with database.write() as connection:
        jobs.retry(connection, "job_2", NOON)
        jobs.cancel(connection, "job_2", NOON)
    deliver_at(database, VAULT, Settings(), NOON)
    assert (len(receiver.heard), outbox(database)[1].state) == (1, "pending")


def test_a_receiver_that_drips_holds_nobody_up(
    database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_TOTAL_S", 0.3)
    receiver.answers = [3.0, 200]
    with database.write() as connection:
        webhooks.add(connection, "job_2", receiver.url("/quick"), SEALED)
    cancel(database)
    deliver_at(database, VAULT, ALLOWED, NOON)
    cancel(database, "job_2")
    deliver_at(database, VAULT, ALLOWED, NOON)
    assert [(one.state, one.error) for one in outbox(database)] == [
        ("pending", "no answer within 0 seconds"),
        ("delivered", None),
    ]


def test_services_at_once_send_each_message_once(database: Database, receiver: Receiver) -> None:
    info = add_dataset(database, "ds_8")
    for number in range(30):
        add_job(database, info, f"job_x{number}")
        with database.write() as connection:
            webhooks.add(connection, f"job_x{number}", receiver.url(), SEALED)
        cancel(database, f"job_x{number}")

    def send() -> None:
        while deliver_at(database, VAULT, ALLOWED, NOON):
            pass

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [headers["webhook-id"] for _, headers, _ in receiver.heard]
    assert (len(ids), len(set(ids))) == (30, 30)
    assert {one.state for one in outbox(database)} == {"delivered"}


def test_deliveries_claimed_by_a_service_that_died_are_sent_by_another(database: Database, receiver: Receiver) -> None:
    cancel(database)
    with database.write() as connection:
        assert len(webhooks.claim(connection, timedelta(minutes=1), 9, NOON)) == 1
    assert deliver_at(database, VAULT, ALLOWED, NOON + 59 * SECOND) == 0
    assert deliver_at(database, VAULT, ALLOWED, NOON + 60 * SECOND) == 1
    assert len(receiver.heard) == 1


def test_the_secret_lies_encrypted(database: Database) -> None:
    with database.read() as connection:
        kept = connection.execute(sa.select(tables.webhooks.c.secret)).scalar_one()
    assert SECRET not in kept
    assert SECRET.removeprefix("whsec_") not in kept


def test_a_secret_whose_key_is_gone_holds_no_other_message_up(database: Database, receiver: Receiver) -> None:
    other = Vault(Settings(secret_keys=SecretStr(KEYS[1])))
    with database.write() as connection:
        webhooks.add(connection, "job_2", receiver.url("/other"), other.seal(SECRET))
    cancel(database, "job_1")
    cancel(database, "job_2")
    assert deliver_at(database, other, ALLOWED, NOON) == 2
    assert [path for path, _, _ in receiver.heard] == ["/other"]
    (lost,) = (one for one in outbox(database) if one.job_id == "job_1")
    assert "SUSPECTS_SECRET_KEYS" in str(lost.error)
    assert lost.due_at > NOON
