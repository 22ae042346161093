"""Scoring a job again by what people verified, over HTTP: what is asked, refused and told. Workers are played."""

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.actions.rescore import rescore_due
from service.services import Services
from service.store import audits, ranking_columns, rankings, rescorings
from service.store.tables import audit_entries, audit_models
from tests.builders import CLASSES, LEASE, NOON, add_finished

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


def played(services: Services, order: Sequence[int]) -> None:
    """Do to the rescoring that waits what a worker does: the samples get this order, the first ten are flagged."""
    places = np.argsort(order)
    table = pa.table(
        {
            "index": np.arange(TRAIN),
            "suggested_label": [CLASSES[(row + 1) % 3] for row in range(TRAIN)],
            "suggested_confidence": np.full(TRAIN, 0.5),
            "verdict": np.where(places < 10, "mislabeled", "clean"),
            "mislabeled": 1 - places / TRAIN,
        }
    )
    with services.database.write() as connection:
        held = rescorings.claim(connection, "job_1", "w", LEASE, services.now())
        assert held is not None
        before = services.blobs.ranking("job_1", rescorings.version(connection, "job_1"))
        ranking_columns.opened(connection, before, "job_1").order(connection, "job_1", "mislabeled")
        ranking_columns.save_version(services.blobs.ranking("job_1", held.version), before, table, {})
        rescorings.complete(connection, held, 12, 12, services.now())
        rankings.replace_columns(connection, "job_1", table)


def test_what_cannot_be_scored_again_says_what_to_do(client: httpx.Client, services: Services) -> None:
    few = client.post(f"{URL}/rescore")
    assert few.status_code == 409
    assert "0 labels of this job are verified, and at least 10" in few.json()["detail"]
    keep(client, range(10))
    (services.blobs.checkpoints("job_1") / "00001.pt").unlink()
    gone = client.post(f"{URL}/rescore")
    assert (gone.status_code, gone.json()["state"]) == (409, "completed")
    assert "POST /jobs/{id}/rerun" in gone.json()["detail"]
    assert client.get(URL).json()["rescoring"] is None


def test_it_waits_for_a_worker_and_tells_what_became_of_it(client: httpx.Client, services: Services) -> None:
    keep(client, range(10))
    asked = client.post(f"{URL}/rescore")
    assert asked.status_code == 202
    assert (asked.json()["version"], asked.json()["state"]) == (1, "queued")
    assert client.post(f"{URL}/rescore").json() == asked.json()
    assert client.get(URL).json()["rescoring"] == asked.json()
    assert client.get(URL).json()["result"]["rescored"] is None
    played(services, range(TRAIN))
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
    played(services, range(TRAIN))
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
    played(services, by_truth)
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
