"""A careless annotator among careful ones, found by a real job: the API on a socket, a worker process, Valkey."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.settings import Settings
from tests.integration.installation import Installation, installed

ROWS, PEOPLE = 1_200, ["Ann", "Bob", "Cem", "Dóra", "Eve"]
CARELESS = "Bob"


@pytest.fixture
def installation(tmp_path: Path, redis_url: str) -> Iterator[Installation]:
    with installed(Settings(home=tmp_path / "home", broker_url=redis_url, sweep_seconds=0.2)) as opened:
        yield opened


def table() -> tuple[bytes, int]:
    """Three overlapping classes; the careless person errs at every fourth label, the others at every thirtieth. Also the number of their errors."""
    random = np.random.default_rng(7)
    right = random.integers(0, 3, ROWS)
    x = random.normal(size=(ROWS, 2)) + 3 * np.stack([np.cos(right * 2.1), np.sin(right * 2.1)], 1)
    who = random.integers(0, len(PEOPLE), ROWS)
    errs = random.random(ROWS) < np.where(who == PEOPLE.index(CARELESS), 1 / 4, 1 / 30)
    given = np.where(errs, (right + random.integers(1, 3, ROWS)) % 3, right)
    rows = zip(x.tolist(), given.tolist(), who.tolist(), strict=True)
    lines = [f"{width:.4f},{height:.4f},{PEOPLE[one]},{'abc'[label]}" for (width, height), label, one in rows]
    return "\n".join(["width,height,labelled by,kind", *lines]).encode(), int((errs & (who == 1)).sum())


def test_a_job_sets_the_careless_annotator_apart_and_nobody_else(installation: Installation) -> None:
    client = installation.client
    content, errors = table()
    spec = {"dataset": {"label": "kind"}, "training": {"epochs": 8}}
    with installation.worker():
        sent = client.post("/jobs", files={"file": ("table.csv", content)}, data={"spec": json.dumps(spec)})
        assert sent.status_code == 202, sent.text
        job = installation.wait(sent.json()["id"], "completed")
    assert [one["name"] for one in job["dataset"]["features"]] == ["width", "height"]
    found = client.get(f"/jobs/{job['id']}/annotators").json()
    assert {item["annotator"] for item in found["items"]} == set(PEOPLE)
    assert [item["annotator"] for item in found["items"] if item["stands_out"]] == [CARELESS]
    first = found["items"][0]
    assert first["annotator"] == CARELESS
    assert first["others_share"] < 0.06
    assert 0.5 * errors < first["doubted"] < 1.3 * errors
    assert (found["not_known"], found["overall"]["labelled"]) == (0, ROWS)
