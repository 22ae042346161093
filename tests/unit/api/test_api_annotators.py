"""Quality of the people who labelled, over HTTP, against plain loops over their votes."""

from collections import Counter
from typing import Any

import httpx
import numpy as np
import pytest

from service.domain.dataset import DatasetInfo
from service.ingest.votes import VoteFile, table_of
from service.services import Services
from tests.builders import CLASSES, add_finished, form, ranking

ROWS = 41
JOB = "/jobs/job_1"
NAMES = ["Ann", "bob@example.org", 'Zoë "QA", 小林\t2', "-"]
Vote = tuple[int, str, str]


def drawn(info: DatasetInfo) -> list[Vote]:
    """One to three votes on most rows, held-out ones included, and on rows and tasks that are no samples."""
    random = np.random.default_rng(3)
    given = {row["index"]: row["given_label"] for row in ranking(info).to_pylist()}
    votes = []
    for index in (-2, -1, *range(info.rows), 70, 71):
        for who in random.permutation(NAMES)[: random.integers(0, 4)].tolist():
            label = given.get(index, "cat") if random.random() < 0.7 else random.choice([*CLASSES, "fox"])
            votes.append((index, who, str(label)))
    return votes


@pytest.fixture
def info(services: Services) -> DatasetInfo:
    return add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})


@pytest.fixture
def votes(services: Services, info: DatasetInfo) -> list[Vote]:
    found = drawn(info)
    write(services, found)
    return found


def write(services: Services, votes: list[Vote]) -> None:
    with VoteFile(services.blobs.votes("ds_1")) as file:
        for start in range(0, len(votes), 20):
            file.add(table_of(votes[start : start + 20]))


def by_name(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {item["annotator"]: item for item in client.get(f"{JOB}/annotators").json()["items"]}


def test_doubts_are_those_of_a_loop_over_votes(client: httpx.Client, info: DatasetInfo, votes: list[Vote]) -> None:
    rows = {row["index"]: row for row in ranking(info).to_pylist()}
    found = client.get(f"{JOB}/annotators").json()
    assert {item["annotator"] for item in found["items"]} == set(NAMES)
    for item in found["items"]:
        mine = [(rows[index], label) for index, who, label in votes if who == item["annotator"] and index in rows]
        held = [row["suggested_label" if row["verdict"] == "mislabeled" else "given_label"] for row, _ in mine]
        doubted = Counter((label, right) for (_, label), right in zip(mine, held, strict=True) if label != right)
        assert (item["labelled"], item["doubted"]) == (len(mine), doubted.total())
        share = item["doubted_share"]
        assert share["low"] < share["share"] == doubted.total() / len(mine) < share["high"]
        top = [(one["given"], one["suggested"]) for one in item["most_confused"]]
        assert [doubted[pair] for pair in top] == sorted(doubted.values(), reverse=True)[:3]
        assert [one["count"] for one in item["most_confused"]] == [doubted[pair] for pair in top]
    assert found["overall"]["labelled"] == sum(item["labelled"] for item in found["items"])
    assert found["overall"]["doubted"] == sum(item["doubted"] for item in found["items"])
    assert found["not_known"] == ROWS - len({index for index, _, _ in votes if index in rows}) > 0


def test_agreement_counts_samples_that_were_skipped_or_held_out(client: httpx.Client, votes: list[Vote]) -> None:
    for name, item in by_name(client).items():
        shares = []
        for index, who, label in votes:
            others = [said for place, other, said in votes if place == index and other != who]
            if who == name and others:
                shares.append(others.count(label) / len(others))
        assert item["agreement"]["samples"] == len(shares)
        assert item["agreement"]["share"] == pytest.approx(sum(shares) / len(shares))


def test_reviews_say_how_many_labels_were_wrong(client: httpx.Client, services: Services, info: DatasetInfo) -> None:
    # Row 0 is a cat that looks like a dog, row 1 a dog, row 2 an eel, row 3 a cat, row 4 a dog.
    cast = {0: "cat", 1: "dog", 2: "eel", 3: "cat", 4: "dog", 5: "eel"}
    write(services, [(row, "Ann", label) for row, label in cast.items()] + [(0, "Bob", "dog"), (3, "Bob", "eel")])
    said = [("relabel", "dog"), ("keep", None), ("remove", None), ("relabel", "eel"), ("unsure", None)]
    body = [
        {"sample_id": f"row-{row}", "decision": decision, "label": label} for row, (decision, label) in enumerate(said)
    ]
    assert client.post(f"{JOB}/reviews", json=body).is_success
    found = by_name(client)
    assert (found["Ann"]["reviewed"], found["Ann"]["wrong"]) == (4, 3)
    assert (found["Bob"]["reviewed"], found["Bob"]["wrong"]) == (1, 0)  # row 3 was relabelled as Bob has it
    client.post(f"{JOB}/reviews", json=[{"sample_id": "row-3", "decision": "withdraw"}])
    assert (by_name(client)["Ann"]["reviewed"], by_name(client)["Ann"]["wrong"]) == (3, 2)


def test_who_stands_out_comes_first_and_is_named(client: httpx.Client, services: Services) -> None:
    info = add_finished(
        services.database,
        services.blobs,
        "job_2",
        "ds_2",
        rows=400,
        splits={"train": 400, "test": 0},
        digest="sha256:2",
    )
    random = np.random.default_rng(0)
    rows = ranking(info).to_pylist()
    with VoteFile(services.blobs.votes("ds_2")) as file:
        # A fifth is flagged; Ann has labelled most of those.
        file.add(
            table_of(
                [
                    (row["index"], "Ann" if flagged and random.random() < 0.6 else who, row["given_label"])
                    for row, who in zip(rows, random.choice(NAMES, len(rows)).tolist(), strict=True)
                    for flagged in [row["verdict"] == "mislabeled"]
                ]
            )
        )
    found = client.get("/jobs/job_2/annotators").json()
    assert [item["stands_out"] for item in found["items"]] == [True, False, False, False]
    assert found["items"][0]["annotator"] == "Ann"
    assert found["items"][0]["chance"] <= 0.05 < min(item["chance"] for item in found["items"][1:])
    assert "'Ann'" in found["detail"]
    assert "no proof" in found["detail"]
    first = client.get("/jobs/job_2/annotators?limit=1").json()
    assert (len(first["items"]), first["total"]) == (1, 4)


def test_where_nobody_stands_out_it_is_said(client: httpx.Client, services: Services, info: DatasetInfo) -> None:
    rows = ranking(info).to_pylist()
    write(services, [(row["index"], NAMES[row["index"] % 2], row["given_label"]) for row in rows])
    found = client.get(f"{JOB}/annotators").json()
    assert not any(item["stands_out"] for item in found["items"])
    assert "within chance" in found["detail"]
    assert found["overall"]["agreement"] is None


def test_one_person_is_compared_with_nobody(client: httpx.Client, services: Services, info: DatasetInfo) -> None:
    write(services, [(row, "Ann", "cat") for row in range(ROWS)])
    found = client.get(f"{JOB}/annotators").json()
    assert [(item["others_share"], item["chance"], item["stands_out"]) for item in found["items"]] == [
        (None, None, False)
    ]
    assert "Nobody can be compared" in found["detail"]


def test_where_nobody_is_known_it_says_how_to_name_them(client: httpx.Client, info: DatasetInfo) -> None:
    found = client.get(f"{JOB}/annotators").json()
    assert (found["items"], found["total"], found["not_known"]) == ([], 0, ROWS)
    assert (found["overall"]["labelled"], found["overall"]["doubted_share"]) == (0, None)
    assert "spec.annotator" in found["detail"]


def test_a_corrected_dataset_keeps_who_labelled_it(client: httpx.Client, services: Services, votes: list[Vote]) -> None:
    client.post(f"{JOB}/reviews", json=[{"sample_id": "row-0", "decision": "relabel", "label": "eel"}])
    made = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).json()["id"]
    kept, before = services.blobs.votes(made), services.blobs.votes("ds_1")
    assert kept.read_bytes() == before.read_bytes()
    assert client.delete(JOB).is_success
    assert client.delete("/datasets/ds_1").is_success
    assert kept.exists()


def test_an_upload_keeps_its_annotators_until_it_is_deleted(client: httpx.Client, services: Services) -> None:
    lines = [f"{n},{'rgb'[n % 3]},{CLASSES[n % 3]},{('Ann', 'Bob')[n % 2]}" for n in range(30)]
    content = "\n".join(["weight,colour,animal,annotator", *lines]).encode()
    found = client.post("/datasets", **form(content, spec={"label": "animal"})).json()
    assert found["inferred"]["annotator"] == "annotator"
    assert [one["name"] for one in found["features"]] == ["weight"]  # the colour is the label in other words
    assert services.blobs.votes(found["id"]).exists()
    client.delete(f"/datasets/{found['id']}")
    assert not services.blobs.votes(found["id"]).exists()
