"""Keys: created, shown once, scoped, bound to a project, expiring, rotated, revoked; quotas, lockouts and the audit log."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from service.actions.keys import create_key
from service.actions.rerun import ask_for_rerun, run_again
from service.actions.review import review
from service.domain.access import Caller, KeyRequest
from service.domain.review import Decision
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import audit_log, jobs, loops
from service.store.engine import Database
from service.store.idempotency import IdempotentRequest
from service.store.tables import audit_log as audit_table
from service.store.tables import audit_log_retention
from service.store.tables import keys as key_table
from tests.builders import CSV, add_dataset, add_finished, form

Headers = dict[str, str]


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"wrong_key_limit": 3}))


def created(client: httpx.Client, admin: Headers | None = None, **body: Any) -> dict[str, Any]:
    """A new key, as it is shown once."""
    response = client.post("/keys", json={"name": "Noor", **body}, headers=admin)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def sent(key: dict[str, Any]) -> Headers:
    return {"Authorization": f"Bearer {key['key']}"}


@pytest.fixture
def admin(client: httpx.Client) -> Headers:
    """The first key, after which every request needs one."""
    return sent(created(client, name="operator", scopes=["admin"]))


def at(services: Services, time: datetime) -> None:
    object.__setattr__(services, "now", lambda: time)


def test_from_the_first_key_on_every_request_needs_one(client: httpx.Client) -> None:
    assert client.get("/jobs").status_code == 200
    refused = client.post("/keys", json={"name": "Noor", "scopes": ["submit"]})
    assert refused.status_code == 422
    assert "first key" in refused.json()["errors"][0]["msg"]
    key = created(client, scopes=["admin"])
    assert client.get("/jobs").status_code == 401
    assert client.get("/jobs", headers=sent(key)).status_code == 200


def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    key = created(client, admin, scopes=["read"])
    secret = key["key"].partition(".")[2]
    for path in ("/keys", f"/keys/{key['id']}"):
        assert secret not in client.get(path, headers=admin).text
    with services.database.read() as connection:
        rows = [str(dict(row)) for row in connection.execute(key_table.select()).mappings()]
    assert len(rows) == 2
    assert not any(secret in row for row in rows)
    assert all("$argon2id$" in row for row in rows)


def test_only_the_whole_key_opens(client: httpx.Client, admin: Headers) -> None:
    key = created(client, admin)["key"]
    number, _, secret = key.partition(".")
    for wrong in (f"{number}.", f"{number}.{secret[:-1]}", f"key_0.{secret}"):
        assert client.get("/jobs", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401, wrong


def test_an_expired_key_is_refused_and_says_when(client: httpx.Client, services: Services, admin: Headers) -> None:
    now = services.now()
    key = created(client, admin, expires_at=(now + timedelta(hours=1)).isoformat())
    assert client.get("/jobs", headers=sent(key)).status_code == 200
    at(services, now + timedelta(hours=2))
    refused = client.get("/jobs", headers=sent(key))
    assert refused.status_code == 401
    assert "expired" in refused.json()["detail"]


def test_a_rotated_key_works_until_its_grace_is_over(client: httpx.Client, services: Services, admin: Headers) -> None:
    now = services.now()
    old = created(client, admin, scopes=["review"], quota={"jobs_per_day": 3})
    answer = client.post(f"/keys/{old['id']}/rotate", json={"grace_seconds": 60}, headers=admin)
    new = answer.json()
    assert answer.headers["Location"] == f"/keys/{new['id']}"
    same = ("name", "scopes", "project", "quota")
    assert [new[name] for name in same] == [old[name] for name in same]
    for key in (old, new):
        assert client.get("/jobs", headers=sent(key)).status_code == 200
    at(services, now + timedelta(minutes=10))
    assert client.get("/jobs", headers=sent(old)).status_code == 401
    assert client.get("/jobs", headers=sent(new)).status_code == 200


def test_a_revoked_key_is_refused_at_once_and_the_last_admin_stays(client: httpx.Client, admin: Headers) -> None:
    key = created(client, admin)
    (operator,) = [one for one in client.get("/keys", headers=admin).json()["items"] if one["name"] == "operator"]
    assert client.get("/jobs", headers=sent(key)).status_code == 200
    kept = client.delete(f"/keys/{operator['id']}", headers=admin)
    assert (kept.status_code, kept.json()["state"]) == (409, "last_admin")
    assert client.delete(f"/keys/{key['id']}", headers=admin).status_code == 204
    assert client.get("/jobs", headers=sent(key)).status_code == 401
    # Without any key the service is open on this machine again.
    assert client.delete(f"/keys/{operator['id']}", headers=admin).status_code == 204
    assert client.get("/jobs").status_code == 200


def test_an_admin_of_another_project_manages_the_keys_of_that_project_alone(
    client: httpx.Client, admin: Headers
) -> None:
    birds = sent(created(client, admin, scopes=["admin"], project="birds"))
    own = created(client, birds, project="birds")
    assert {one["project"] for one in client.get("/keys", headers=birds).json()["items"]} == {"birds"}
    assert len(client.get("/keys", headers=admin).json()["items"]) == 3
    assert client.post("/keys", json={"name": "x", "project": "default"}, headers=birds).status_code == 403
    (operator,) = [one for one in client.get("/keys", headers=admin).json()["items"] if one["name"] == "operator"]
    assert client.delete(f"/keys/{operator['id']}", headers=birds).status_code == 404
    assert client.get(f"/keys/{own['id']}", headers=admin).status_code == 200


def test_the_same_file_is_a_dataset_of_its_own_in_each_project(client: httpx.Client, admin: Headers) -> None:
    birds = sent(created(client, admin, scopes=["submit"], project="birds"))
    spec = {"label": "animal"}
    again = {"Idempotency-Key": "same"}
    ids = {
        name: client.post("/datasets", **form(CSV, spec=spec), headers={**headers, **again}).json()["id"]
        for name, headers in {"default": admin, "birds": birds}.items()
    }
    assert ids["default"] != ids["birds"]
    assert client.post("/datasets", **form(CSV, spec=spec), headers=birds).json()["id"] == ids["birds"]
    assert [one["id"] for one in client.get("/datasets", headers=birds).json()["items"]] == [ids["birds"]]
    job = client.post("/jobs", json={"dataset": ids["birds"]}, headers=birds).json()["id"]
    assert client.get(f"/jobs/{job}", headers=admin).status_code == 404
    assert [one["id"] for one in client.get("/jobs", headers=birds).json()["items"]] == [job]


def test_what_follows_in_the_background_stays_in_its_project(services: Services) -> None:
    birds = services.of("birds")
    info = add_finished(birds.database, birds.blobs)
    with birds.database.read() as connection:
        assert jobs.get(connection, "job_1") is not None
    with services.of("default").database.read() as connection:
        assert jobs.get(connection, "job_1") is None
    with birds.database.read() as connection:
        job = jobs.get(connection, "job_1")
    assert job is not None
    decision = Decision(sample_id="row-0", decision="relabel", label=info.classes[1])
    review(birds, job, [decision], IdempotentRequest(None, ""))
    ask_for_rerun(birds, Caller("birds"), "job_1", at_once=True)
    (following,) = run_again(services)
    with birds.database.read() as connection:
        found = jobs.get(connection, following)
    assert found is not None
    assert found.project == "birds"


def test_the_name_of_a_key_is_the_reviewer(client: httpx.Client, services: Services, admin: Headers) -> None:
    add_finished(services.database, services.blobs)
    noor = sent(created(client, admin, scopes=["review"]))
    body = [{"sample_id": "row-1", "decision": "keep", "reviewer": "somebody else"}]
    assert client.post("/jobs/job_1/reviews", json=body, headers=noor).status_code == 201
    bulk = {"filter": {}, "decision": "unsure", "reviewer": "somebody else"}
    assert client.post("/jobs/job_1/reviews/bulk", json=bulk, headers=noor).status_code == 201
    found = client.get("/jobs/job_1/reviews", headers=noor).json()["items"]
    assert {one["reviewer"] for one in found} == {"Noor"}
    undo = {"batch": found[-1]["batch"], "reviewer": "somebody else"}
    assert client.post("/jobs/job_1/reviews/undo", json=undo, headers=noor).status_code == 201
    undone = client.get("/jobs/job_1/reviews", headers=noor).json()["items"][len(found) :]
    assert {(one["decision"], one["reviewer"]) for one in undone} == {("withdraw", "Noor"), ("keep", "Noor")}


def test_a_used_up_quota_is_refused_with_the_time_to_wait(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    add_finished(services.database, services.blobs)
    quotas: dict[str, tuple[dict[str, int], int]] = {
        "requests": ({"requests_per_minute": 2}, 60),
        "bytes": ({"bytes_per_day": 100}, 24 * 3600),
        "jobs": ({"jobs_per_day": 2}, 24 * 3600),
    }
    for what, (quota, window) in quotas.items():
        key = sent(created(client, admin, scopes=["submit"], quota=quota))
        answers = [client.post("/jobs", json={"dataset": "ds_1", "name": "x" * 20}, headers=key) for _ in range(3)]
        assert [one.status_code for one in answers] == [202, 202, 429], (what, answers[-1].text)
        assert 0 < int(answers[-1].headers["Retry-After"]) <= window
        assert "quota" in answers[-1].json()["detail"]
    # A body without a length could be of any size.
    key = sent(created(client, admin, scopes=["submit"], quota={"bytes_per_day": 100}))
    streamed = client.post("/jobs", content=iter([b"{}"]), headers={**key, "Content-Type": "application/json"})
    assert (streamed.status_code, "Content-Length" in streamed.json()["detail"]) == (400, True)


def test_a_job_counts_when_it_is_accepted_and_once(client: httpx.Client, services: Services, admin: Headers) -> None:
    add_finished(services.database, services.blobs)
    key = sent(created(client, admin, scopes=["submit"], quota={"jobs_per_day": 1}))
    assert client.post("/jobs", json={"dataset": "ds_0"}, headers=key).status_code == 404
    once = {**key, "Idempotency-Key": "k-1"}
    answers = [client.post("/jobs", json={"dataset": "ds_1"}, headers=once) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202], answers[-1].text
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert client.post("/jobs", json={"dataset": "ds_1"}, headers=key).status_code == 429
    assert client.get("/jobs", headers=admin).json()["total"] == 2
    at(services, services.now() + timedelta(days=1))
    assert client.post("/jobs", json={"dataset": "ds_1"}, headers=key).status_code == 202


def test_whatever_makes_a_worker_train_counts_as_a_job(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    add_finished(services.database, services.blobs)
    for quota, statuses in ((1, [202, 202, 429, 429]), (3, [202, 202, 202, 202])):
        key = sent(created(client, admin, scopes=["submit"], quota={"jobs_per_day": quota}))
        job = f"/jobs/{client.post('/jobs', json={'dataset': 'ds_1'}, headers=admin).json()['id']}"
        said = [{"sample_id": "row-1", "decision": "remove"}]
        assert client.post("/jobs/job_1/reviews", json=said, headers=admin).status_code == 201
        # A request that is repeated is of the same rerun.
        asked = [client.post("/jobs/job_1/rerun", headers=key) for _ in range(2)]
        assert client.post(f"{job}/cancel", headers=key).status_code == 202
        asked.append(client.post(f"{job}/retry", headers=key))
        asked.append(client.post("/jobs", json={"dataset": "ds_1"}, headers=key))
        assert [one.status_code for one in asked] == statuses
        assert client.get(job, headers=admin).json()["state"] == ("cancelled" if quota == 1 else "queued")
        with services.database.write() as connection:
            loops.record_failure(connection, "job_1", "so that it can be requested again")


def test_an_address_that_sends_wrong_keys_is_locked_out(client: httpx.Client, admin: Headers) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    assert [client.get("/jobs", headers=wrong).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    refused = client.get("/jobs", headers=admin)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300


def test_the_audit_log_says_who_did_what_and_from_where(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    noor = created(client, admin, scopes=["read"], project="birds")
    client.post("/datasets/sample", headers={**sent(noor), "X-Request-ID": "asked"})
    client.get("/jobs", headers=sent(noor))
    client.get("/jobs", headers={"Authorization": "Bearer wrong"})
    client.post("/ls/con_1.secret/webhook", json={})
    wanted = {
        ("POST", "/datasets/sample", 403, "birds", "Noor"),
        ("GET", "/jobs", 401, None, None),
        ("POST", "/keys", 201, "default", "operator"),
    }
    # An entry is written after the answer.
    deadline = time.monotonic() + 30
    told: set[tuple[Any, ...]] = set()
    while not told >= wanted and time.monotonic() < deadline:
        entries = client.get("/audit-log", headers=admin).json()["items"]
        told = {(one["method"], one["path"], one["status"], one["project"], one["name"]) for one in entries}
    assert told >= wanted
    assert ("GET", "/jobs", 200, "birds", "Noor") not in told
    assert "secret" not in str(entries)
    (refused,) = [one for one in entries if one["status"] == 403]
    assert (refused["key"], refused["address"], refused["request_id"]) == (noor["id"], "127.0.0.1", "asked")
    assert client.get("/audit-log", headers=sent(noor)).status_code == 403
    of_birds = sent(created(client, admin, scopes=["admin"], project="birds"))
    assert {one["project"] for one in client.get("/audit-log", headers=of_birds).json()["items"]} == {"birds"}
    first = client.get("/audit-log", params={"limit": 1}, headers=admin).json()
    second = client.get("/audit-log", params={"limit": 1, "cursor": first["next"]}, headers=admin).json()
    assert second["items"][0]["seq"] < first["items"][0]["seq"]


@pytest.mark.parametrize("name", ["Noor\nIda", "Noor\u202eadI", "\u2066Noor", "No\tor"])
def test_a_name_of_a_key_is_one_line_of_printable_characters(client: httpx.Client, admin: Headers, name: str) -> None:
    refused = client.post("/keys", json={"name": name}, headers=admin)
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["name"])


def test_a_key_with_a_name_that_is_refused_now_can_be_rotated(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    old = create_key(
        services, Caller(), KeyRequest.model_construct(**{**KeyRequest(name="x").__dict__, "name": "a\nb"})
    )
    rotated = client.post(f"/keys/{old.id}/rotate", json={}, headers=admin)
    assert (rotated.status_code, rotated.json()["name"]) == (201, "a\nb")


def test_nobody_without_a_valid_key_fills_the_audit_log(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    for _ in range(5):
        client.get("/jobs")
        client.post("/jobs", json={})
        client.post("/nothing", json={})
        client.post("/ls/con_1.secret/webhook", json={})
    for _ in range(20):
        client.get("/jobs", headers=wrong)
    client.get("/jobs")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with services.database.read() as connection:
            told = [one.status for one in audit_log.page(connection)]
        if told.count(429) and told.count(401) >= 3:
            break
        time.sleep(0.05)
    assert sorted(told) == [201, 401, 401, 401, 429]


def test_rows_of_the_audit_log_are_never_changed_or_deleted(database: Database) -> None:
    with database.write() as connection:
        audit_log.add(
            connection,
            at=datetime.fromisoformat("2026-01-01T12:00:00Z"),
            project="default",
            method="POST",
            path="/jobs",
            status=202,
        )
    for change in (audit_table.update().values(status=200), audit_table.delete()):
        with pytest.raises(sa.exc.DBAPIError, match="never changed"), database.write() as connection:
            connection.execute(change)
    with database.read() as connection:
        assert [one.status for one in audit_log.page(connection)] == [202]


def test_entries_of_the_audit_log_are_deleted_by_age_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "_TOGETHER", 3)
    first = datetime.fromisoformat("2026-01-01T12:00:00Z")
    with database.write() as connection:
        for day in (0, 1, 5, 2, 6, 7):  # clocks of several hosts may differ
            at = first + timedelta(days=day)
            audit_log.add(connection, at=at, project="default", method="POST", path="/jobs", status=200 + day)
    removed: list[int] = []
    while not removed or removed[-1]:
        with database.write() as connection:
            removed.append(audit_log.remove_oldest(connection, first + timedelta(days=3)))
    assert removed == [2, 1, 0]
    with database.read() as connection:
        assert [one.status for one in audit_log.page(connection)] == [207, 206, 205]
    # What is young stays, whoever deletes it.
    with database.write() as connection:
        connection.execute(audit_log_retention.insert().values(older_than=first + timedelta(days=6)))
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), database.write() as connection:
        connection.execute(audit_table.delete())
    with database.write() as connection:
        connection.execute(audit_log_retention.delete())
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), database.write() as connection:
        connection.execute(audit_table.delete().where(audit_table.c.status == 205))


def test_keys_of_the_settings_are_admins_of_the_default_project() -> None:
    assert Caller().is_operator


def test_events_tell_a_project_of_its_own_jobs_and_datasets_alone(
    client: httpx.Client, services: Services, admin: Headers
) -> None:
    birds = sent(created(client, admin, scopes=["read"], project="birds"))
    with client.stream("GET", "/events", headers=birds) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith(": connected")
        add_dataset(services.of("default").database, "ds_theirs")
        add_dataset(services.of("birds").database, "ds_own")
        told = next(line for line in lines if line.startswith("data:"))
    assert json.loads(told.removeprefix("data:")) == {"kind": "dataset", "id": "ds_own", "changed": ["appeared"]}
