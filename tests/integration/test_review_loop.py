"""The whole loop on real parts: a job, people's reviews, the corrected dataset, the next job, the difference.

The API on a socket, a Celery worker process, Valkey, PostgreSQL, and a receiver of webhooks. 80 labels of 400 are wrong, all in the same way,
and the reviews are those of somebody who knows the right ones.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from standardwebhooks import Webhook

from service.settings import Settings
from tests.integration.installation import Installation, installed
from tests.receiver import receiving

ROWS, WRONG, TEST = 400, 80, 200
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOK = 120


def table() -> tuple[bytes, dict[str, str]]:
    """Rows of three overlapping classes, and the right label of each; only labels of the split train are wrong."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, ROWS + TEST)
    x = generator.normal(size=(ROWS + TEST, 2)) + 2.5 * np.stack([np.cos(labels * 2.1), np.sin(labels * 2.1)], 1)
    # Always the same confusion, of most of a class: a network learns it, unless somebody mends it.
    wrong = frozenset(np.flatnonzero(labels[:ROWS] == 0)[:WRONG].tolist())
    lines, right = ["name,width,height,part,kind"], {}
    for number, ((width, height), label) in enumerate(zip(x, labels.tolist(), strict=True)):
        right[f"s{number}"] = "abc"[label]
        given = "b" if number in wrong else "abc"[label]
        part = "train" if number < ROWS else "test"
        lines.append(f"s{number},{width:.4f},{height:.4f},{part},{given}")
    return "\n".join(lines).encode(), right


@pytest.fixture
def installation(tmp_path: Path, empty_postgres: str, redis_url: str) -> Iterator[Installation]:
    """A service on a real socket that looks for work all the time."""
    settings = Settings(
        home=tmp_path / "home",
        database_url=empty_postgres,
        broker_url=redis_url,
        sweep_seconds=0.2,
        allow_private_webhooks=True,
    )
    with installed(settings) as opened:
        yield opened


def test_what_people_mend_makes_the_next_job_better(installation: Installation) -> None:
    client = installation.client
    content, right = table()
    with receiving() as receiver, installation.worker():
        spec = {
            "dataset": {"label": "kind", "id": "name", "split": "part"},
            "reference": {"split": "test"},
            "training": {"epochs": 8, "batch_size": 32},
            "loop": {"after": 10, "quiet_seconds": 1, "cool_down_seconds": 0},
            "webhook": {"url": receiver.url(), "secret": SECRET},
        }
        sent = client.post("/jobs", files={"file": ("table.csv", content)}, data={"spec": json.dumps(spec)})
        assert sent.status_code == 202, sent.text
        first = installation.wait(sent.json()["id"], "completed")
        url = f"/jobs/{first['id']}"

        top = client.get(f"{url}/suspects", params={"limit": LOOK}).json()["items"]
        decisions = [
            {"sample_id": item["sample"]["id"], "decision": "keep"}
            if right[item["sample"]["id"]] == item["given_label"]
            else {"sample_id": item["sample"]["id"], "decision": "relabel", "label": right[item["sample"]["id"]]}
            for item in top
        ]
        mended = sum(decision["decision"] == "relabel" for decision in decisions)
        assert mended > WRONG / 2
        # All at once: a pause between them could be taken for the end of the reviewing.
        assert client.post(f"{url}/reviews", json=decisions).status_code == 201
        summary = client.get(f"{url}/reviews/summary").json()
        assert (summary["reviewed"], sum(band["wrong"] for band in summary["by_signal"][0]["bands"])) == (LOOK, mended)

        following = None
        deadline = time.monotonic() + 120
        while following is None and time.monotonic() < deadline:
            time.sleep(0.1)
            following = client.get(url).json()["links"]["next"]
        assert following is not None
        second = installation.wait(following.removeprefix("/jobs/"), "completed")
        assert client.get("/jobs").json()["total"] == 2
        lineage = second["dataset"]["lineage"]
        assert (lineage["parent"], lineage["job"], lineage["relabelled"]) == (
            first["dataset"]["id"],
            first["id"],
            mended,
        )
        assert lineage["verified"] == LOOK

        # Nobody is asked again, and who goes on at the first list is heard in the second.
        again = client.get(f"/jobs/{second['id']}/suspects", params={"limit": 1000}).json()["items"]
        seen = {item["sample"]["id"]: item["review"] for item in again if item["review"]}
        assert {name: review["decision"] for name, review in seen.items()} == {
            decision["sample_id"]: "keep" for decision in decisions
        }
        late = next(item for item in again if item["review"] is None)["sample"]["id"]
        client.post(f"{url}/reviews", json=[{"sample_id": late, "decision": "remove"}])
        found = client.get(f"/jobs/{second['id']}/samples/{late}").json()["review"]
        assert (found["decision"], found["job"]) == ("remove", first["id"])

        diff = client.get(f"/jobs/{second['id']}/diff").json()
        assert diff["accuracy"]["comparable"]
        assert diff["relabelled"]["total"] == mended
        assert diff["accuracy"]["before"] == first["result"]["model"]["reference_accuracy"]
        assert diff["accuracy"]["gain"] > 0.05
        assert diff["after"]["train_accuracy"] > diff["before"]["train_accuracy"]

        # What was verified is the trusted reference of a job that asks for it, and is not ranked in it.
        asked = {"dataset": second["dataset"]["id"], "reference": {"verified": True}}
        third = client.post("/jobs", json={**asked, "training": {"epochs": 2}}).json()
        done = installation.wait(third["id"], "completed")
        assert done["result"]["samples"] == ROWS - LOOK

        deadline = time.monotonic() + 60
        while len(receiver.heard) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    told = [Webhook(SECRET).verify(body, headers) for _, headers, body in receiver.heard]
    assert [(one["type"], one["data"]["id"]) for one in told] == [
        ("job.completed", first["id"]),
        ("job.completed", second["id"]),
    ]
