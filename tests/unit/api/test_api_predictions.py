"""Out-of-sample predictions from upload to ranking, over HTTP and through a worker's own task."""

import csv
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest

from service.domain.exports import EXPORT_FORMATS
from service.domain.signal import SIGNALS
from service.services import Services
from tests.attempts import do_job
from tests.unit.ingest.uploads import npz_of
from worker.job.context import WorkerContext
from worker.machine.devices import CPU

ROWS, WRONG, CLASSES = 240, 24, ["cat", "dog", "eel"]


def arrays(*, features: bool) -> dict[str, Any]:
    """Three classes that overlap a little; the labels of the first rows are wrong."""
    draw = np.random.default_rng(0)
    truth = np.arange(ROWS) % 3
    x = 3 * np.eye(3)[truth] + draw.normal(size=(ROWS, 3))
    probable = np.exp(2 * x) / np.exp(2 * x).sum(1, keepdims=True)
    labels = truth.copy()
    labels[:WRONG] = (truth[:WRONG] + 1) % 3
    found = {
        "labels": labels,
        "pred_probs": probable,
        "classes": np.array(CLASSES),
        "ids": [f"s{i}" for i in range(ROWS)],
    }
    return found | ({"features": x} if features else {})


def submit(client: httpx.Client, services: Services, content: bytes | str, **spec: Any) -> dict[str, Any]:
    """A finished job over an upload, or over the dataset of this id."""
    if isinstance(content, bytes):
        sent = client.post("/jobs", files={"file": ("predictions.npz", content)}, data={"spec": json.dumps(spec)})
    else:
        sent = client.post("/jobs", json={"dataset": content, **spec})
    assert sent.status_code == 202, sent.text
    do_job(
        sent.json()["id"],
        "worker-1",
        WorkerContext(services.settings, services.database, services.blobs, CPU, lambda: False),
    )
    job: dict[str, Any] = client.get(sent.headers["Location"]).json()
    assert job["state"] == "completed", job["error"]
    return job


@pytest.mark.parametrize("features", [False, True])
def test_everything_of_the_job_can_be_asked(client: httpx.Client, services: Services, features: bool) -> None:
    job = submit(client, services, npz_of(**arrays(features=features)))
    url, computed = f"/jobs/{job['id']}", job["result"]["signals"]
    assert job["dataset"]["modality"] == job["spec"]["model"]["name"] == "predictions"
    assert job["spec"]["training"]["learning_rate"] == job["spec"]["training"]["epochs"] == 1
    assert job["result"]["estimates"]["mislabeled"]["confident_joint"] > 0
    wrong = {f"s{row}" for row in range(WRONG)}
    page = client.get(f"{url}/suspects", params={"limit": WRONG}).json()
    assert len(wrong & {item["sample"]["id"] for item in page["items"]}) > 0.8 * WRONG
    assert page["items"][0]["signals"].keys() == set(computed)
    preview = page["items"][0]["sample"]["preview"]
    assert preview["model_says"] == page["items"][0]["suggested_label"] == next(iter(preview["probabilities"]))
    assert list(preview["probabilities"].values()) == sorted(preview["probabilities"].values(), reverse=True)
    for name, signal in SIGNALS.items():
        answer = client.get(f"{url}/suspects", params={"by": name, "limit": 1})
        assert answer.status_code == (200 if name in computed else 422), answer.text
        if name not in computed:
            why = answer.json()["errors"][0]["msg"]
            assert ("trusted reference" if signal.trusted_reference else "not computed for this job: it ") in why
    assert [one["name"] for one in client.get(f"{url}/signals").json()["items"]] == [
        n for n in SIGNALS if n in computed
    ]
    for form in EXPORT_FORMATS.values():
        expected = 422 if form.is_for_tool else 200
        assert client.get(f"{url}/suspects", params={"format": form.name}).status_code == expected
    page, text = (client.get(f"{url}/report", params={"format": form}).text for form in ("html", "md"))
    for report in (page, text):
        assert "predictions of models that were not trained on it" in report
        assert "epoch" not in report
        assert ("one step of a linear layer" in report) == features
        assert ("that needs features" in report) != features
    assert client.get(f"/datasets/{job['dataset']['id']}/samples/s3").json()["features"].keys() == {"pred_probs"}


@pytest.mark.parametrize("features", [False, True])
def test_a_sample_says_what_its_predictions_say(client: httpx.Client, services: Services, features: bool) -> None:
    job = submit(client, services, npz_of(**arrays(features=features)))
    top = client.get(f"/jobs/{job['id']}/suspects", params={"limit": 1}).json()["items"][0]
    sample = client.get(top["sample"]["links"]["self"]).json()
    assert sample["trajectory"]["epochs"] == [0]
    assert sample["trajectory"]["margin"][0] < 0
    assert "Models that had not seen it find another label likelier." in sample["reason"]
    assert "checkpoint" not in sample["reason"]
    assert "epoch" not in sample["reason"]
    assert ("would" in sample["reason"]) == features
    assert bool(sample["opposing"]) == bool(sample["trajectory"]["class_influence"]) == features
    assert (sample["witnesses"] is not None) == features


def test_what_needs_features_is_empty_without_them_and_says_why(client: httpx.Client, services: Services) -> None:
    bare, whole = (submit(client, services, npz_of(**arrays(features=features))) for features in (False, True))
    for what in ("groups", "verify-next"):
        nothing, found = (client.get(f"/jobs/{job['id']}/{what}").json() for job in (bare, whole))
        assert (nothing["items"], nothing["total"]) == ([], 0)
        assert nothing["note"].startswith("predictions without features do not tell which samples are alike")
        assert found["items"]
        assert found["note"] is None
    told = [{one["code"] for one in job["result"]["warnings"]} - {"rough_estimate"} for job in (bare, whole)]
    assert told == [{"no_training", "no_features"}, {"no_training", "no_trusted_reference"}]


def test_cleanlabs_table_is_the_familiar_one(client: httpx.Client, services: Services) -> None:
    given = arrays(features=False)
    job = submit(client, services, npz_of(**given))
    answer = client.get(f"/jobs/{job['id']}/suspects", params={"format": "cleanlab"})
    rows = {int(row["index"]): row for row in csv.DictReader(io.StringIO(answer.text))}
    assert len(rows) == ROWS
    assert (
        sum(row["is_label_issue"] == "True" for row in rows.values())
        == job["result"]["estimates"]["mislabeled"]["count"]
    )
    for index, row in rows.items():
        assert row["sample_id"] == f"s{index}"
        assert row["given_label"] == CLASSES[given["labels"][index]]
        assert 0 <= float(row["label_score"]) <= 1
        if given["pred_probs"][index].max() > 0.9:
            assert row["predicted_label"] == CLASSES[given["pred_probs"][index].argmax()]


def test_what_the_upload_cannot_give_is_refused_with_the_reason(client: httpx.Client) -> None:
    upload = {"file": ("predictions.npz", npz_of(**arrays(features=False)))}
    for spec, field, why in (
        ({"signals": ["loss", "anomalous"]}, ["signals", 1], "anomalous: it needs `features`"),
        ({"signals": ["forgetting"]}, ["signals", 0], "forgetting: it compares the checkpoints of a training"),
        ({"glitches": [{"kind": "duplicate"}]}, ["glitches"], "these are predictions, and nothing is trained; plant"),
        ({"reference": {"holdout": 0.2}}, ["reference", "holdout"], "reference_labels, reference_pred_probs"),
    ):
        answer = client.post("/jobs", files=upload, data={"spec": json.dumps(spec)})
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        (error,) = answer.json()["errors"]
        assert error["loc"][-len(field) :] == field
        assert why in error["msg"]
    broken = arrays(features=False)
    broken["pred_probs"][7] *= 2
    answer = client.post("/datasets", files={"file": ("predictions.npz", npz_of(**broken))})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][-2:] == ["array pred_probs", "row 7"]


@pytest.mark.parametrize("features", [False, True])
def test_a_corrected_version_is_ranked_again_by_the_old_predictions(
    client: httpx.Client, services: Services, features: bool
) -> None:
    first = submit(client, services, npz_of(**arrays(features=features)))
    reviews = [{"sample_id": f"s{row}", "decision": "relabel", "label": CLASSES[row % 3]} for row in range(WRONG)]
    reviews += [{"sample_id": "s100", "decision": "remove"}, {"sample_id": "s101", "decision": "keep"}]
    assert client.post(f"/jobs/{first['id']}/reviews", json=reviews).status_code == 201
    made = client.post(f"/datasets/{first['dataset']['id']}/versions", json={"job": first["id"], "apply": "reviews"})
    assert made.status_code == 201, made.text
    second = submit(client, services, made.json()["id"])
    assert second["result"]["samples"] == ROWS - 1
    assert second["result"]["estimates"]["mislabeled"]["count"] < first["result"]["estimates"]["mislabeled"]["count"]
    diff = client.get(f"/jobs/{second['id']}/diff").json()
    assert diff["relabelled"]["total"] == WRONG
    verified = submit(client, services, made.json()["id"], reference={"verified": True})
    assert verified["result"]["samples"] == ROWS - 1 - WRONG - 1


def test_without_predictions_a_classifier_is_trained_on_the_features(client: httpx.Client, services: Services) -> None:
    given = {name: array for name, array in arrays(features=True).items() if name != "pred_probs"}
    job = submit(client, services, npz_of(**given), training={"epochs": 3})
    assert (job["dataset"]["modality"], job["spec"]["model"]["name"]) == ("embedding", "mlp_probe")
    assert job["dataset"]["classes"] == CLASSES
    assert "frozen_vote" in job["result"]["signals"]
    assert "no_pred_probs" in {one["code"] for one in job["dataset"]["warnings"]}
    item = client.get(f"/jobs/{job['id']}/suspects", params={"limit": 1}).json()["items"][0]
    assert item["sample"]["preview"]["dimensions"] == 3
