"""Jobs on real parts: the API on a socket, a Celery worker process, Valkey, and each database in turn where it matters."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests import servers
from tests.integration.installation import LONG, QUICK, ROWS, Installation, eager, installed

DATABASES = [pytest.param(kind, marks=pytest.mark.xdist_group(f"jobs on {kind}")) for kind in ("sqlite", "postgresql")]
ON_SQLITE = pytest.mark.parametrize("installation", DATABASES[:1], indirect=True)


@pytest.fixture(scope="module", params=DATABASES)
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str
) -> Iterator[Installation]:
    """One service and one worker for all tests of a database: it is the start of a worker that takes long."""
    folder = tmp_path_factory.mktemp("jobs")
    if request.param == "sqlite":
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_sqlite'), folder / 'suspects.db')}"
    else:
        url = request.getfixturevalue("postgres_database")
        servers.empty(url)
    with installed(eager(folder / "home", url, redis_url)) as opened, opened.worker():
        yield opened


def test_a_job_goes_from_post_to_ranking(installation: Installation) -> None:
    job_id = installation.submit(QUICK, glitches=[{"kind": "mislabeled_uniform", "rate": 0.1, "seed": 1}])
    job = installation.wait(job_id, "completed")
    assert installation.client.get("/readyz").status_code == httpx.codes.OK
    assert job["result"]["samples"] == ROWS
    assert installation.epochs(job_id) == [1, 2, 3, 4]
    ranking = installation.ranking(job_id)
    assert sorted(row["sample_id"] for row in ranking) == sorted(f"s{number}" for number in range(ROWS))
    assert [int(row["rank"]) for row in ranking] == list(range(1, ROWS + 1))
    planted = {row["sample_id"] for row in ranking if row["planted_kind"]}
    assert len(planted) == 60
    assert len(planted & {row["sample_id"] for row in ranking[:60]}) > 40
    signals = {item["name"]: item for item in installation.client.get(f"/jobs/{job_id}/signals").json()["items"]}
    assert signals["mislabeled"]["detection"]["precision"] > 0.65
    top = ranking[0]["sample_id"]
    sample = installation.client.get(f"/jobs/{job_id}/samples/{top}").json()
    assert sample["signals"]["mislabeled"]["rank"] == 1
    assert len(sample["trajectory"]["loss"]) == 4
    assert sample["opposing"]
    assert all(other["influence"] < 0 for other in sample["opposing"])
    assert_parts_are_filters(installation, job_id)
    for other in (*sample["supporting"], *sample["opposing"]):
        assert other["id"] != top
        assert len(other["by_checkpoint"]) == 4
        assert other["influence"] == pytest.approx(sum(other["by_checkpoint"]))
    assert sample["witnesses"]["class"] == sample["suggested_label"]
    assert sample["witnesses"]["looked_at"] == 50
    assert len(sample["witnesses"]["against"]) == 4
    candidates = installation.client.get(f"/jobs/{job_id}/verify-next?count=9").json()["items"]
    assert len({one["sample"]["id"] for one in candidates}) == 9
    by_label = Counter(one["given_label"] for one in candidates)
    assert max(by_label.values()) - min(by_label.values()) <= 1


def test_a_job_lists_what_is_wrong_beside_labels(installation: Installation) -> None:
    planted = [{"kind": "duplicate_relabeled", "rate": 0.05, "seed": 1}, {"kind": "duplicate", "rate": 0.05, "seed": 2}]
    job_id = installation.submit(QUICK, glitches=planted, reference={"holdout": 0.2})
    installation.wait(job_id, "completed")
    by_kind: dict[str, set[str]] = {}
    for row in installation.ranking(job_id):
        by_kind.setdefault(row["planted_kind"], set()).add(row["sample_id"])
    answer = installation.client.get(f"/jobs/{job_id}/issues?limit=500").json()
    found = {one["type"]: one for one in answer["items"]}
    ids = {name: {sample["id"] for sample in one["samples"]} for name, one in found.items()}
    assert by_kind["duplicate_relabeled"] <= ids["contradicting_duplicates"]
    assert by_kind["duplicate"] <= ids["contradicting_duplicates"] | ids["exact_duplicates"]
    assert not found["leakage"]["found"]
    assert not found["order"]["found"]


def test_a_table_has_a_first_ranking_while_its_network_is_trained(installation: Installation) -> None:
    job_id = installation.submit(LONG, glitches=[{"kind": "mislabeled_uniform", "rate": 0.1, "seed": 1}])
    while True:
        job = installation.client.get(f"/jobs/{job_id}").json()
        page = installation.client.get(f"/jobs/{job_id}/suspects?limit=60")
        if job["result"] is not None:
            break
        assert page.status_code in {httpx.codes.CONFLICT, httpx.codes.OK}
        time.sleep(0.05)
    assert job["result"]["stage"] == page.json()["stage"] == "quick"
    assert page.json()["total"] == job["result"]["samples"] == ROWS
    assert sum(row["planted"] is not None for row in page.json()["items"]) > 30
    result = installation.wait(job_id, "completed")["result"]
    assert result["stage"] == "full"
    assert result["timings"]["first_ranking_s"] > 0
    full = installation.client.get(f"/jobs/{job_id}/suspects?limit=60").json()
    assert full["stage"] == "full"
    assert "anomalous" in full["items"][0]["signals"]
    kept = installation.client.get(f"/jobs/{job_id}/suspects?limit=60&stage=quick").json()
    assert {**kept, "next": None} == {**page.json(), "next": None}


def assert_parts_are_filters(installation: Installation, job_id: str) -> None:
    """What the worker says of each part holds of the samples that the filter by it gives."""
    groups = installation.client.get(f"/jobs/{job_id}/groups").json()["items"]
    assert groups
    sizes = Counter(row["given_label"] for row in installation.ranking(job_id))
    for one in groups:
        assert [part["part"] for part in one["parts"]] == ["tighter", "looser"]
        assert sum(part["size"] for part in one["parts"]) == sizes[one["label"]]
        for part in one["parts"]:
            wanted = {"label": one["label"], "part": part["part"], "limit": 1000}
            found = installation.client.get(f"/jobs/{job_id}/suspects", params=wanted).json()
            assert found["total"] == part["size"]
            assert set(part["sample_ids"]) <= {item["sample"]["id"] for item in found["items"]}


def test_what_people_verify_sharpens_the_ranking_of_the_same_job(installation: Installation) -> None:
    job_id = installation.submit(QUICK, glitches=[{"kind": "mislabeled_uniform", "rate": 0.1, "seed": 1}])
    before = installation.wait(job_id, "completed")
    first = {row["sample_id"]: row for row in installation.ranking(job_id)}
    few = installation.client.post(f"/jobs/{job_id}/rescore")
    assert few.status_code == httpx.codes.CONFLICT
    assert "at least 10" in few.json()["detail"]
    drawn = installation.client.post(f"/jobs/{job_id}/audit/draws", json={"count": 35}).json()["items"]
    said = [right_answer(row) for row in list(first.values())[:5] + list(first.values())[300:345]]
    said += [right_answer(first[item["sample_id"]]) for item in drawn]
    assert installation.client.post(f"/jobs/{job_id}/reviews", json=said).status_code == httpx.codes.CREATED
    assert installation.client.post(f"/jobs/{job_id}/rescore").status_code == httpx.codes.ACCEPTED
    job = rescored(installation, job_id, 1)
    assert job["result"]["rescored"]["samples"] == len({one["sample_id"] for one in said})
    assert job["result"]["rescored"]["reviews"] == len(said)
    assert job["state"] == "completed"
    # The number is measured by now: flagged is what is more likely wrong than not, by what the reviewers said.
    assert job["result"]["estimates"]["mislabeled"]["status"] == "measured"
    assert job["result"]["rescored"]["recalibrated"] is True
    after = installation.ranking(job_id)
    assert_ranked(installation, job_id, after)
    signals = first["s0"].keys() & set(job["result"]["signals"])
    changed = {name for name in signals if any(row[name] != first[row["sample_id"]][name] for row in after)}
    assert changed == {"mislabeled", "anomalous"}
    flagged = [row for row in after if row["verdict"] == "mislabeled"]
    assert flagged == after[: len(flagged)]
    assert sum(bool(row["planted_kind"]) for row in flagged) > len(flagged) / 2 > 10
    codes = {one["code"] for one in job["result"]["warnings"]}
    assert "small_trusted_reference" in codes
    assert "no_trusted_reference" not in codes
    assert {one["code"] for one in before["result"]["warnings"]} >= {"no_trusted_reference"}
    # The draws keep the ranking that they were made by; new ones follow the new one.
    assert installation.client.get(f"/jobs/{job_id}/audit").json()["reviewed"]["drawn"] == 35
    assert installation.client.post(f"/jobs/{job_id}/audit/draws", json={"count": 5}).status_code == httpx.codes.CREATED
    assert installation.client.post(f"/jobs/{job_id}/rescore").status_code == httpx.codes.ACCEPTED
    rescored(installation, job_id, 2)
    # The same reviews give the same ranking.
    assert installation.ranking(job_id) == after


def right_answer(row: dict[str, str]) -> dict[str, str]:
    """What a reviewer says who knows every label."""
    right = {"decision": "relabel", "label": row["planted_label"]} if row["planted_label"] else {"decision": "keep"}
    return {"sample_id": row["sample_id"], **right}


def rescored(installation: Installation, job_id: str, version: int) -> dict[str, Any]:
    """The job once its ranking has this version."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        job = installation.job(job_id)
        told = job["rescoring"] or {}
        assert told.get("state") != "failed", told["error"]
        if (job["result"]["rescored"] or {}).get("version") == version:
            return job
        time.sleep(0.1)
    raise AssertionError(f"not scored again: {told}")


def assert_ranked(installation: Installation, job_id: str, ranking: list[dict[str, str]]) -> None:
    """Scores in the table, the order in the files, and verdicts in both say the same."""
    scores = [float(row["mislabeled"]) for row in ranking]
    assert scores == sorted(scores, reverse=True)
    assert installation.job(job_id)["flagged"] == sum(row["verdict"] in ("mislabeled", "anomalous") for row in ranking)
    found = installation.client.get(f"/jobs/{job_id}/suspects", params={"verdict": "mislabeled", "limit": 1000}).json()
    assert [item["sample"]["id"] for item in found["items"]] == [
        row["sample_id"] for row in ranking if row["verdict"] == "mislabeled"
    ]
    strange = installation.client.get(f"/jobs/{job_id}/suspects", params={"by": "anomalous", "limit": 20}).json()[
        "items"
    ]
    by_id = {row["sample_id"]: float(row["anomalous"]) for row in ranking}
    assert [by_id[item["sample"]["id"]] for item in strange] == sorted(by_id.values(), reverse=True)[:20]


def questions() -> bytes:
    """Questions about persons, places and numbers, that their words tell apart."""
    generator = np.random.default_rng(0)
    asked = {
        "person": ("Who was the {} that {} the {} ?", ("painter", "king", "nurse"), ("found", "built", "sold")),
        "place": ("Where in the {} is the {} of the {} ?", ("north", "desert", "valley"), ("mouth", "gate", "harbour")),
        "number": (
            "How many {} did the {} count in the {} ?",
            ("birds", "coins", "ships"),
            ("sailor", "clerk", "monk"),
        ),
    }
    rows = ["question,topic,label"]
    for number in range(240):
        answer = list(asked)[number % 3]
        form, first, second = asked[answer]
        text = form.format(generator.choice(first), generator.choice(second), generator.choice(("castle", "river")))
        rows.append(f"{text} ({number}),{'ab'[number % 2]},{answer}")
    return "\n".join(rows).encode()


@ON_SQLITE
def test_a_file_of_texts_needs_no_word_about_it(installation: Installation) -> None:
    spec = {"glitches": [{"kind": "mislabeled_uniform", "rate": 0.1}]}
    answer = installation.client.post(
        "/jobs", files={"file": ("questions.csv", questions())}, data={"spec": json.dumps(spec)}
    )
    job = installation.wait(answer.json()["id"], "completed")
    fallback = job["spec"]["fallback"]
    assert fallback["used"] is not None
    assert job["spec"]["model"]["name"] == ("text_cnn" if fallback["used"] else "pretrained_text")
    ranking = installation.ranking(job["id"])
    assert len(ranking) == 240
    assert sum(bool(row["planted_kind"]) for row in ranking[:24]) >= 20
    sample = installation.client.get(f"/jobs/{job['id']}/samples/{ranking[0]['sample_id']}").json()
    assert sample["features"]["question"].endswith(")")


@ON_SQLITE
def test_a_reference_that_is_held_out_is_not_ranked(installation: Installation) -> None:
    verified = [f"s{number}" for number in range(60)]
    held = installation.submit(QUICK, reference={"holdout": 0.25})
    trusted = installation.submit(QUICK, reference={"samples": verified})
    assert installation.wait(held, "completed")["result"]["samples"] == 450
    job = installation.wait(trusted, "completed")
    assert job["result"]["samples"] == ROWS - 60
    assert {"support_same", "support_all"} <= set(job["result"]["signals"])
    assert not {row["sample_id"] for row in installation.ranking(trusted)} & set(verified)
    sample = installation.client.get(f"/jobs/{trusted}/samples/s7").json()
    assert sample["held_out"] is True
    top = installation.ranking(trusted)[0]["sample_id"]
    sample = installation.client.get(f"/jobs/{trusted}/samples/{top}").json()
    assert {one["id"] for one in (*sample["supporting"], *sample["opposing"])} <= set(verified)
    assert all(one["by_checkpoint"] for one in (*sample["supporting"], *sample["opposing"]))


@ON_SQLITE
def test_a_job_that_stops_early_scores_the_epochs_that_it_ran_and_forgets_the_others(
    installation: Installation,
) -> None:
    stopping = {"patience": 8, "min_improvement": 0.1}
    job_id = installation.submit({**LONG, "early_stopping": stopping, "class_weights": "balanced"})
    installation.wait(job_id, "completed")
    ran = len(installation.epochs(job_id))
    assert 8 < ran < LONG["epochs"]
    top = installation.ranking(job_id)[0]["sample_id"]
    epochs = installation.client.get(f"/jobs/{job_id}/samples/{top}").json()["trajectory"]["epochs"]
    assert len(epochs) == 8
    assert epochs[-1] == ran
    kept = sorted(path.stem for path in (installation.settings.home / "jobs" / job_id / "checkpoints").glob("*.pt"))
    assert [int(name) for name in kept] == epochs


def test_a_cancelled_job_stops_and_can_be_taken_up_again(installation: Installation) -> None:
    job_id = installation.submit(LONG)
    installation.wait(job_id, "training")
    assert installation.client.post(f"/jobs/{job_id}/cancel").status_code == httpx.codes.ACCEPTED
    assert installation.job(job_id)["state"] == "cancelled"
    assert installation.client.get(f"/jobs/{job_id}/suspects").status_code == httpx.codes.GONE
    # The worker is free for others again.
    other = installation.submit(QUICK)
    installation.wait(other, "completed")
    assert installation.client.post(f"/jobs/{job_id}/retry").status_code == httpx.codes.ACCEPTED
    installation.wait(job_id, "completed")
    assert installation.client.delete(f"/jobs/{job_id}").status_code == httpx.codes.NO_CONTENT
    assert not (installation.settings.home / "jobs" / job_id).exists()


@ON_SQLITE
def test_training_that_diverges_fails_and_says_what_to_change(installation: Installation) -> None:
    job_id = installation.submit({**QUICK, "learning_rate": 100, "momentum": 0.99})
    job = installation.wait(job_id, "failed")
    assert job["error"]["code"] == "diverged"
    assert "training.learning_rate" in job["error"]["detail"]
