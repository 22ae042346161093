"""Scoring a job again by what people verified, over HTTP: what is asked, refused and told. Workers are played."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from service.actions.rescore import rescore_due
from service.services import Services
from service.store import audits, datasets
from service.store.tables import audit_entries, audit_models
from tests.builders import NOON, add_finished, add_job, finish, play_rescoring, ranking_of

TRAIN = 240
URL = "/jobs/job_1"


@pytest.fixture(autouse=True)
def job(services: Services) -> None:
    """A completed job whose checkpoint is there; every fifth label is wrong."""
    # Jobs of tests ended long ago, and their checkpoints would be deleted for that.
    kept = services.settings.model_copy(update={"keep_checkpoints_days": 0})
    object.__setattr__(services, "settings", kept)
    add_finished(services.database, services.blobs, rows=320, splits={"train": TRAIN, "test": 80})
    (services.blobs.checkpoints("job_1") / "00001.pt").touch()
    with services.database.write() as connection:
        audits.begin(connection, "job_1", 7, NOON)


def keep(client: httpx.Client, rows: Sequence[int]) -> None:
    said = [{"sample_id": f"row-{row}", "decision": "keep"} for row in rows]
    assert client.post(f"{URL}/reviews", json=said).status_code == 201


def test_what_cannot_be_scored_again_says_what_to_do(client: httpx.Client, services: Services) -> None:
    few = client.post(f"{URL}/rescore")
    assert few.status_code == 409
    assert "0 labels of this job are verified, and at least 10" in few.json()["detail"]
    keep(client, range(10))
    (services.blobs.checkpoints("job_1") / "00001.pt").unlink()
    gone = client.post(f"{URL}/rescore")
    assert (gone.status_code, gone.json()["state"]) == (409, "completed")
    assert "run it again" in gone.json()["detail"]
    assert client.get(URL).json()["rescoring"] is None


def test_a_job_tells_how_many_labels_are_verified_and_what_is_missing(client: httpx.Client, services: Services) -> None:
    def told() -> tuple[int, str | None]:
        job = client.get(URL).json()
        return job["verified"], job["rescore_blocked"]

    def say(rows: Sequence[int], decision: str, reviewer: str = "Ann", label: str | None = None) -> None:
        said = [{"sample_id": f"row-{row}", "decision": decision, "label": label, "reviewer": reviewer} for row in rows]
        assert client.post(f"{URL}/reviews", json=said).status_code == 201

    assert told() == (
        0,
        "0 labels of this job are verified, and at least 10 are needed: keep or relabel 10 more samples",
    )
    say(range(1), "keep")
    assert told() == (1, "1 label of this job is verified, and at least 10 are needed: keep or relabel 9 more samples")
    for decision in ("remove", "unsure", "plausible"):
        say(range(20, 32), decision)
        assert told()[0] == 1
    say(range(1, 9), "keep")
    assert told() == (9, "9 labels of this job are verified, and at least 10 are needed: keep or relabel 1 more sample")
    assert client.get("/jobs").json()["items"][0]["verified"] == 9
    say([9], "relabel", label="eel")
    assert told() == (10, None)
    # What one of two people calls wrong is not verified yet.
    with services.database.write() as connection:
        audits.set_confirm(connection, "job_1", 2)
    assert told()[0] == 9
    assert client.post(f"{URL}/rescore").status_code == 409
    say([9], "relabel", "Bob", label="eel")
    assert told() == (10, None)
    assert client.post(f"{URL}/rescore").status_code == 202
    say([0], "withdraw")
    assert told()[0] == 9


def test_what_an_earlier_job_verified_counts_once_and_not_when_it_is_questioned(
    client: httpx.Client, services: Services
) -> None:
    keep(client, range(9))
    made = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).raise_for_status().json()
    with services.database.read() as connection:
        info = datasets.get(connection, made["id"])
    assert info is not None
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info, table=ranking_of(services.blobs, info))
    (services.blobs.checkpoints("job_2")).mkdir(parents=True, exist_ok=True)
    (services.blobs.checkpoints("job_2") / "00001.pt").touch()

    def told() -> int:
        verified: int = client.get("/jobs/job_2").json()["verified"]
        return verified

    assert told() == 9
    said = [{"sample_id": f"row-{row}", "decision": "keep"} for row in (7, 8, 9)]
    client.post("/jobs/job_2/reviews", json=said).raise_for_status()
    assert told() == 10
    client.post("/jobs/job_2/reviews", json=[{"sample_id": "row-8", "decision": "unsure"}]).raise_for_status()
    assert told() == 9
    assert client.post("/jobs/job_2/rescore").status_code == 409


def test_it_waits_for_a_worker_and_tells_what_became_of_it(client: httpx.Client, services: Services) -> None:
    keep(client, range(10))
    asked = client.post(f"{URL}/rescore")
    assert asked.status_code == 202
    assert (asked.json()["version"], asked.json()["state"]) == (1, "queued")
    assert client.post(f"{URL}/rescore").json() == asked.json()
    assert client.get(URL).json()["rescoring"] == asked.json()
    assert client.get(URL).json()["result"]["rescored"] is None
    play_rescoring(services, range(TRAIN))
    told = client.get(URL).json()
    assert (told["rescoring"]["state"], told["rescoring"]["samples"], told["flagged"]) == ("completed", 12, 10)
    first = client.get(f"{URL}/suspects", params={"limit": 3}).json()
    assert [item["sample"]["id"] for item in first["items"]] == ["row-0", "row-1", "row-2"]
    assert client.get(f"{URL}/suspects", params={"verdict": "mislabeled"}).json()["total"] == 10
    assert client.get(f"{URL}/samples/row-0").json()["signals"]["mislabeled"]["rank"] == 1


def test_so_many_new_reviews_ask_for_it_by_themselves_unless_the_setting_is_0(
    client: httpx.Client, services: Services
) -> None:
    quiet = services.settings
    object.__setattr__(services, "settings", quiet.model_copy(update={"rescore_after": 25}))
    keep(client, range(24))
    rescore_due(services)
    assert client.get(URL).json()["rescoring"] is None
    keep(client, [24])
    object.__setattr__(services, "settings", quiet)
    rescore_due(services)
    assert client.get(URL).json()["rescoring"] is None
    object.__setattr__(services, "settings", quiet.model_copy(update={"rescore_after": 25}))
    rescore_due(services)
    assert client.get(URL).json()["rescoring"]["version"] == 1
    # The same reviews ask once.
    play_rescoring(services, range(TRAIN))
    rescore_due(services)
    assert client.get(URL).json()["rescoring"]["version"] == 1


def test_draws_keep_the_ranking_that_they_were_made_by(client: httpx.Client, services: Services) -> None:
    def drawn(count: int) -> list[str]:
        items = client.post(f"{URL}/audit/draws", json={"count": count}).json()["items"]
        return [item["sample_id"] for item in items]

    def log() -> tuple[list[Any], list[Any]]:
        with services.database.read() as connection:
            entries = connection.execute(audit_entries.select().order_by(audit_entries.c.seq)).all()
            models = connection.execute(audit_models.select().order_by(audit_models.c.first)).all()
            return [*map(tuple, entries)], [*map(tuple, models)]

    judged = drawn(30)
    said = [
        {"sample_id": name, "decision": "remove" if int(name.removeprefix("row-")) % 5 == 0 else "keep"}
        for name in judged
    ]
    assert client.post(f"{URL}/reviews", json=said).status_code == 201
    params: dict[str, str | bool] = {"by": "label", "top": "20,100", "history": True}
    before, (entries, models) = client.get(f"{URL}/audit", params=params).json(), log()
    assert client.post(f"{URL}/rescore").status_code == 202
    by_truth = sorted(range(TRAIN), key=lambda row: (row % 5 != 0, row))
    play_rescoring(services, by_truth)
    after = client.get(f"{URL}/audit", params=params).json()
    follows_ranking = {"by_rank", "next_50_expected", "stop", "means"}
    assert {k: v for k, v in after.items() if k not in follows_ranking} == {
        k: v for k, v in before.items() if k not in follows_ranking
    }
    assert after["next_50_expected"] != before["next_50_expected"]
    drawn(20)
    later_entries, later_models = log()
    assert later_entries[: len(entries)] == entries
    assert later_models[: len(models)] == models
    assert {model[2] for model in models} == {"job_1"}
    assert {model[2] for model in later_models[len(models) :]} == {"job_1@1"}
