"""Audits over HTTP: draws, answers, goals."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.actions.draw_samples import draw_samples
from service.actions.rerun import run_again
from service.domain.audit import DrawRequest
from service.services import Services
from service.store import audits, datasets, jobs
from service.store.idempotency import IdempotentRequest
from service.store.jobs import Job
from service.store.tables import audit_entries
from tests.builders import NOON, add_finished, finish, ranking_of

TRAIN, EVERY = 240, 5  # samples, of which every fifth is wrong
WRONG = TRAIN // EVERY
URL = "/jobs/job_1"


@pytest.fixture(autouse=True)
def job(services: Services) -> Job:
    """A completed job whose flagged rows are the wrong ones: every fifth. The draws are the same each time."""
    add_finished(services.database, services.blobs, rows=320, splits={"train": TRAIN, "test": 80})
    with services.database.write() as connection:
        audits.begin(connection, "job_1", 7, NOON)
    with services.database.read() as connection:
        found = jobs.get(connection, "job_1")
    assert found is not None
    return found


def draw(client: httpx.Client, count: int = 20, key: str | None = None, **more: Any) -> list[dict[str, Any]]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post(f"{URL}/audit/draws", json={"count": count, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def ids(items: Iterable[dict[str, Any]]) -> list[str]:
    return [item["sample_id"] for item in items]


def is_wrong(sample_id: str) -> bool:
    return int(sample_id.removeprefix("row-")) % EVERY == 0


def judge(client: httpx.Client, names: Iterable[str], wrong: str = "remove") -> None:
    said = [{"sample_id": name, "decision": wrong if is_wrong(name) else "keep"} for name in names]
    assert client.post(f"{URL}/reviews", json=said).status_code == 201


def audit(client: httpx.Client, **params: Any) -> dict[str, Any]:
    answer = client.get(f"{URL}/audit", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def entries(services: Services) -> list[tuple[int, str]]:
    with services.database.read() as connection:
        rows = connection.execute(audit_entries.select().order_by(audit_entries.c.seq))
        return [(row[2], row[4]) for row in rows]


def test_before_the_first_drawn_review_nothing_is_measured_and_nothing_is_promised(client: httpx.Client) -> None:
    found = audit(client)
    assert found["wrong"] == {"estimate": None, "low": 0, "high": TRAIN, "at_most": TRAIN}
    assert (found["recall_at_least"], found["stop"]["reached"], found["waiting"]) == (None, False, 0)
    assert "not measured yet" in found["means"]
    judge(client, ["row-0", "row-1"])
    found = audit(client)
    assert (found["found"], found["wrong"]["low"], found["wrong"]["high"]) == (1, 1, TRAIN - 1)
    assert found["reviewed"] == {"drawn": 0, "other": 2}


def test_draws_that_are_reviewed_measure_how_many_are_wrong(client: httpx.Client) -> None:
    widths = []
    for _ in range(6):
        judge(client, ids(draw(client)))
        wrong = audit(client)["wrong"]
        assert wrong["low"] <= WRONG <= min(wrong["high"], wrong["at_most"])
        assert wrong["low"] <= wrong["estimate"] <= wrong["high"]
        widths.append(wrong["high"] - wrong["low"])
    assert widths[-1] < 0.7 * widths[0]
    found = audit(client, history=True)
    assert found["reviewed"] == {"drawn": 120, "other": 0}
    assert [moment["drawn"] for moment in found["history"]][-1] == 120
    assert found["history"][-1]["wrong"] == found["wrong"]
    assert f"{found['found']} of {TRAIN} labels" in found["means"]


def test_who_reviews_everything_knows_the_number(client: httpx.Client) -> None:
    while items := draw(client, 100):
        judge(client, ids(items))
    found = audit(client, goal="accept:0.1")
    assert found["wrong"] == {"estimate": WRONG, "low": WRONG, "high": WRONG, "at_most": WRONG}
    assert (found["found"], found["recall_at_least"]) == (WRONG, 1.0)
    assert found["remaining"] == {"at_most": 0, "rate": 0.0}
    assert (found["stop"]["reached"], found["stop"]["refused"]) == (False, True)
    assert audit(client, goal="accept:0.2")["stop"]["reached"]
    assert audit(client, goal="recall:1")["stop"] == {
        "goal": "recall:1",
        "reached": True,
        "refused": False,
        "expected_more_reviews": 0,
    }


def test_a_repeated_request_gets_the_same_batch_and_another_one_other_samples(client: httpx.Client) -> None:
    first, again, other = draw(client, key="a"), draw(client, key="a"), draw(client, key="b")
    assert ids(first) == ids(again)
    assert not {*ids(first)} & {*ids(other)}
    assert client.post(f"{URL}/audit/draws", json={"count": 5}, headers={"Idempotency-Key": "a"}).status_code == 422


def test_a_batch_does_not_tell_which_of_it_was_drawn(client: httpx.Client, services: Services) -> None:
    items = draw(client, 40, goal="recall:0.9")
    kinds = dict(entries(services))
    assert set(kinds.values()) == {"drawn", "listed"}
    assert all(kinds.keys() >= {item["sample"]["index"]} for item in items)
    assert not {"drawn", "listed", "kind"} & {*items[0], *items[0]["sample"]}
    order = [kinds[item["sample"]["index"]] for item in items]
    assert order not in (sorted(order), sorted(order, reverse=True))


def test_samples_are_shown_in_the_order_of_the_log(client: httpx.Client, services: Services) -> None:
    # Whoever stops in the middle of a batch leaves its last draws, which are then not used. Draws without an answer widen the interval.
    for goal, count in (("measure", 15), ("recall:0.9", 40), ("measure", 30)):
        names = ids(draw(client, count, goal=goal, reviewer="Ann"))
        log = [index for index, _ in entries(services)]
        shown = [int(name.removeprefix("row-")) for name in names]
        assert shown == sorted(shown, key=log.index)
        judge(client, names[:9])


def test_a_goal_to_find_errors_lists_the_likeliest_until_enough_are_found(
    client: httpx.Client, services: Services
) -> None:
    draw(client, 40, goal="recall:0.9")
    assert 25 <= [kind for _, kind in entries(services)].count("listed") <= 38
    draw(client, 40, goal="measure")
    assert [kind for _, kind in entries(services)][40:] == ["drawn"] * 40


def test_reviews_from_elsewhere_leave_the_draws_and_count_as_found(client: httpx.Client, services: Services) -> None:
    judge(client, ids(draw(client)))
    chosen = [f"row-{index}" for index in range(0, TRAIN, EVERY)]
    judge(client, chosen)
    found = audit(client)
    assert found["found"] == WRONG == found["wrong"]["low"]
    assert not {*ids(draw(client, 100))} & {*chosen}
    assert {kind for _, kind in entries(services)} == {"drawn", "outside"}
    assert found["reviewed"]["drawn"] == 20


def test_an_answer_follows_a_changed_decision(client: httpx.Client) -> None:
    names = ids(draw(client, 60))
    judge(client, names)
    before = audit(client)
    last = next(name for name in names if is_wrong(name))
    client.post(f"{URL}/reviews", json=[{"sample_id": last, "decision": "keep"}])
    assert audit(client)["found"] == before["found"] - 1
    client.post(f"{URL}/reviews", json=[{"sample_id": last, "decision": "remove"}])
    assert audit(client)["wrong"] == before["wrong"]


def test_what_is_not_answered_widens_and_what_is_unsure_only_on_request(client: httpx.Client) -> None:
    names = ids(draw(client, 60))
    # The last of the log stays without use; the reviews in the middle are missing.
    judge(client, names[::2])
    partly = audit(client)
    assert partly["waiting"] == 30
    assert partly["wrong"]["low"] <= WRONG <= partly["wrong"]["high"]
    said = [{"sample_id": name, "decision": "unsure"} for name in names[1::2]]
    client.post(f"{URL}/reviews", json=said)
    plain, worst = audit(client), audit(client, worst_case=True)
    assert plain["unsure"] == worst["unsure"] == 30
    assert worst["wrong"]["low"] <= plain["wrong"]["low"] <= plain["wrong"]["high"] <= worst["wrong"]["high"]
    assert worst["wrong"]["high"] > plain["wrong"]["high"]


def test_labels_splits_and_first_ranks_are_measured_apart(client: httpx.Client) -> None:
    for _ in range(4):
        judge(client, ids(draw(client, 40)))
    found = audit(client, by="label", top="48,100")
    assert sum(one["samples"] for one in found["labels"]) == TRAIN
    assert all(one["wrong"]["low"] <= one["samples"] / EVERY <= one["wrong"]["high"] for one in found["labels"])
    assert sum(one["found"] for one in found["labels"]) == found["found"]
    assert [one["top"] for one in found["precision_at"]] == [48, 100]
    split = audit(client, by="split")["splits"]
    assert [(one["split"], one["wrong"]) for one in split] == [("train", found["wrong"])]


def test_from_30_reviews_of_drawn_samples_on_the_job_and_its_report_say_what_was_measured(client: httpx.Client) -> None:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = client.get(URL).json()["result"]["estimates"]["mislabeled"]
        return found

    before, names = told(), ids(draw(client, 30))
    judge(client, names[:-1])
    assert told() == before
    judge(client, names[-1:])
    wrong, estimate = audit(client)["wrong"], told()
    expected = {"status": "measured", "reason": None, "count": round(wrong["estimate"])}
    assert {name: estimate[name] for name in expected} == expected
    assert (estimate["low"], estimate["high"]) == (wrong["low"], wrong["high"])
    assert {**estimate["rule"], "rule": None} == before
    assert client.get("/jobs").json()["items"][0]["result"]["estimates"]["mislabeled"] == estimate
    report = client.get(f"{URL}/report", params={"format": "md"}).text
    assert f"About {estimate['count']} of {TRAIN} labels are wrong" in report
    assert f"between {wrong['low']} and {wrong['high']}" in report


def test_what_was_handed_out_comes_again_to_the_same_person_at_once_and_to_others_after_half_an_hour(
    services: Services, job: Job
) -> None:
    def drawn(minutes: float, reviewer: str | None, number: int) -> set[int]:
        later = replace(services, now=lambda: services.now() + timedelta(minutes=minutes))
        request = DrawRequest(count=10, reviewer=reviewer)
        batch = draw_samples(later, job, request, IdempotentRequest(None, str(number)))
        return {row["index"] for row in batch.rows}

    ann = drawn(0, "Ann", 1)
    assert drawn(1, "Ann", 2) == ann
    bob = drawn(2, "Bob", 3)
    assert not bob & ann
    assert drawn(33, "Cid", 4) <= ann | bob


def test_an_audit_goes_on_over_the_next_job_of_the_chain_and_a_version_has_one_of_its_own(
    client: httpx.Client, services: Services
) -> None:
    with services.database.write() as connection:  # what the builder flags, it says to be planted too
        connection.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")
    judge(client, ids(draw(client, 40)))
    before = audit(client)
    assert client.post(f"{URL}/rerun").status_code == 202
    (following,) = run_again(replace(services, now=lambda: services.now() + timedelta(minutes=5)))
    with services.database.read() as connection:
        info = datasets.get(connection, client.get(f"/jobs/{following}").json()["dataset"]["id"])
    assert info is not None
    finish(services.database, following, info, table=ranking_of(services.blobs, info))
    later = f"/jobs/{following}"
    assert client.get(f"{later}/audit").json() == audit(client)
    assert audit(client)["wrong"] == before["wrong"]
    items = client.post(f"{later}/audit/draws", json={"count": 40}).json()["items"]
    said = [{"sample_id": name, "decision": "remove" if is_wrong(name) else "keep"} for name in ids(items)]
    assert client.post(f"{later}/reviews", json=said).status_code == 201
    found = audit(client)
    assert found["reviewed"]["drawn"] == 80
    assert found["wrong"]["low"] <= WRONG <= found["wrong"]["high"]
    with services.database.read() as connection:
        models = audits.models_after(connection, "job_1", 0)
    assert [(one.model.first, one.ranked_by) for one in models] == [(0, "job_1"), (40, following)]
    version = client.get(f"{later}/audit", params={"of": "version"}).json()
    # The labels that were found wrong are not in its dataset any more; the reviews from the other audit were not drawn for it.
    assert (version["job"], version["samples"]) == (following, TRAIN - before["found"])
    assert version["reviewed"]["drawn"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"count": 0}, "count"),
        ({"goal": "recall:2"}, "goal"),
        ({"goal": "all"}, "goal"),
        ({"of": "now"}, "of"),
        ({"more": 1}, "more"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_field(
    client: httpx.Client, body: dict[str, Any], field: str
) -> None:
    answer = client.post(f"{URL}/audit/draws", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == [field]
    assert client.get(f"{URL}/audit", params={"top": "0"}).status_code == 422


def certificate(client: httpx.Client, **params: Any) -> dict[str, Any]:
    answer = client.get(f"{URL}/audit/certificate", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_certificate_accepts_refuses_or_leaves_open_and_tells_what_it_rests_on(client: httpx.Client) -> None:
    assert certificate(client)["verdict"] == "undecided"
    names = ids(draw(client, 120, goal="accept:0.1"))
    said = [
        {
            "sample_id": name,
            "decision": "remove" if is_wrong(name) else "keep",
            "reviewer": "Ann" if place % 2 else "Bob",
        }
        for place, name in enumerate(names)
    ]
    client.post(f"{URL}/reviews", json=said)
    first = certificate(client, share=0.05)
    assert [certificate(client, share=share)["verdict"] for share in (0.05, 0.2, 0.5)] == [
        "refused",
        "undecided",
        "accepted",
    ]
    assert {(one["reviewer"], one["judged"]) for one in first["judges"]} == {("Ann", 60), ("Bob", 60)}
    assert sum(one["wrong"] for one in first["judges"]) == first["found"]
    assert (first["entries"], first["wrong"]) == (120, audit(client)["wrong"])
    page = client.get(f"{URL}/audit/certificate", params={"share": 0.5}, headers={"Accept": "text/html"})
    assert "At most 50\N{NO-BREAK SPACE}% of the labels are wrong" in page.text
    assert first["log_digest"] in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]


def test_the_digest_of_a_certificate_changes_with_an_answer_and_with_nothing_else(client: httpx.Client) -> None:
    names = ids(draw(client, 40))
    judge(client, names)
    before = certificate(client)["log_digest"]
    assert certificate(client, share=0.3)["log_digest"] == before
    client.post(f"{URL}/reviews", json=[{"sample_id": names[0], "decision": "unsure"}])
    assert certificate(client)["log_digest"] != before
    judge(client, names[:1])
    assert certificate(client)["log_digest"] == before


def test_each_audit_has_a_seed_of_its_own(client: httpx.Client, services: Services) -> None:
    seeds = set()
    for number in (2, 3):
        add_finished(services.database, services.blobs, f"job_{number}", f"ds_{number}", rows=20 + number)
        assert client.post(f"/jobs/job_{number}/audit/draws", json={"count": 2}).status_code == 201
        with services.database.read() as connection:
            seeds.add(getattr(audits.get(connection, f"job_{number}"), "seed", None))
    assert len(seeds - {None}) == 2


def test_a_plausible_label_is_reviewed_not_wrong_and_counted_apart(client: httpx.Client) -> None:
    names = ids(draw(client, 40))
    judge(client, names)
    before = audit(client)
    wrong = next(name for name in names if is_wrong(name))
    client.post(f"{URL}/reviews", json=[{"sample_id": wrong, "decision": "plausible"}])
    after = audit(client)
    assert (after["plausible"], after["found"], after["unsure"]) == (1, before["found"] - 1, 0)
    assert after["reviewed"] == before["reviewed"]
    assert client.get(f"{URL}/suspects", params={"decision": "plausible"}).json()["total"] == 1
    assert client.get(f"{URL}/reviews/summary").json()["outcomes"]["flagged"]["plausible"] == 1
    kept, defended = [name for name in names if not is_wrong(name)][:2]
    client.post(f"{URL}/reviews", json=[{"sample_id": defended, "decision": "plausible"}])
    version = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).json()["id"]
    verified = client.get(f"/datasets/{version}/verified", params={"limit": 1000}).json()["items"]
    assert kept in verified
    assert defended not in verified


def words(names: Iterable[str], reviewer: str, wrong: str = "remove") -> list[dict[str, Any]]:
    return [
        {"sample_id": name, "decision": wrong if is_wrong(name) else "keep", "reviewer": reviewer} for name in names
    ]


def test_with_confirmation_a_label_is_wrong_once_a_second_person_calls_it_so(client: httpx.Client) -> None:
    names = ids(draw(client, 60, reviewer="Ann", confirm=2))
    client.post(f"{URL}/reviews", json=words(names, "Ann"))
    wrong = {name for name in names if is_wrong(name)}
    alone = audit(client)
    assert (alone["confirm"], alone["unconfirmed"], alone["found"]) == (2, len(wrong), 0)
    assert alone["wrong"]["low"] <= WRONG <= alone["wrong"]["high"]
    # Ann is not asked again; Bob is, at once, and what he calls right is right.
    assert not wrong & {*ids(draw(client, 20, reviewer="Ann"))}
    asked = ids(draw(client, len(wrong), reviewer="Bob"))
    assert {*asked} == wrong
    client.post(f"{URL}/reviews", json=words(asked[1:], "Bob"))
    client.post(f"{URL}/reviews", json=[{"sample_id": asked[0], "decision": "keep", "reviewer": "Bob"}])
    both = audit(client, opinions=True)
    assert (both["unconfirmed"], both["found"]) == (0, len(wrong) - 1)
    assert both["reviewers"] == [
        {"reviewer": "Ann", "judged": 60, "shared": len(wrong), "agreed": len(wrong) - 1},
        {"reviewer": "Bob", "judged": len(wrong), "shared": len(wrong), "agreed": len(wrong)},
    ]
    (dispute,) = both["disputed"]
    assert (dispute["sample_id"], dispute["holds"]["decision"]) == (asked[0], "keep")
    assert {(one["reviewer"], one["decision"]) for one in dispute["said"]} == {("Ann", "remove"), ("Bob", "keep")}
    draw(client, 1, reviewer="Bob", confirm=1)
    assert audit(client)["found"] == len(wrong) - 1


def test_the_word_of_one_person_given_twice_is_no_second_opinion(client: httpx.Client) -> None:
    names = ids(draw(client, 60, reviewer="Ann", confirm=2))
    for _ in range(2):
        client.post(f"{URL}/reviews", json=words(names, "Ann"))
    assert audit(client)["found"] == 0
    client.post(f"{URL}/reviews", json=words(names, "Bob"))
    assert audit(client)["found"] == sum(is_wrong(name) for name in names)


def test_reviews_make_the_ranks_into_probabilities_that_fall(client: httpx.Client) -> None:
    for _ in range(4):
        judge(client, ids(draw(client, 40)))
    found = audit(client)
    bands = found["by_rank"]
    assert [band["first"] for band in bands] == [1, *(band["last"] + 1 for band in bands[:-1])]
    assert bands[-1]["last"] == TRAIN
    assert sum(band["reviewed"] for band in bands) == 160
    assert sum(band["wrong"] for band in bands) == found["found"]
    shares = [band["probability"] for band in bands]
    assert shares == sorted(shares, reverse=True)


def test_a_decision_on_a_group_is_one_review_of_each_member_drawn_or_not_as_they_were(
    client: httpx.Client, services: Services
) -> None:
    drawn = {*ids(draw(client, 40))}
    members = client.get(f"{URL}/suspects", params={"label": "dog", "limit": 1000}).json()["items"]
    names = {item["sample"]["id"] for item in members}
    assert names & drawn
    assert names - drawn
    body = {"decision": "keep", "filter": {"label": "dog"}, "reviewer": "Noor"}
    assert client.post(f"{URL}/reviews/bulk", json=body).json()["written"] == len(names)
    found = audit(client)
    assert found["reviewed"] == {"drawn": len(names & drawn), "other": len(names - drawn)}
    # Each is reviewed once, and what was handed out and not in the group still waits.
    assert client.get(f"{URL}/reviews", params={"limit": 1}).json()["total"] == len(names)
    assert found["waiting"] == len(drawn - names)
    relabelled = {"decision": "relabel", "label": "eel", "filter": {"label": "dog"}}
    assert client.post(f"{URL}/reviews/bulk", json=relabelled).json()["written"] == len(names)
    again = audit(client)
    assert again["reviewed"] == found["reviewed"]
    assert again["found"] == len(names)


def add_proxy(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post(f"{URL}/proxies", json={"name": "second annotator", **body})


@pytest.mark.parametrize("kind", ["knowing", "inverted", "blaming what is right"])
def test_the_interval_holds_with_a_judge_that_knows_everything_and_with_one_that_lies(
    client: httpx.Client, kind: str
) -> None:
    opinions = {
        "knowing": {f"row-{row}": float(row % EVERY == 0) for row in range(TRAIN)},
        "inverted": {f"row-{row}": float(row % EVERY != 0) for row in range(TRAIN)},
        "blaming what is right": {f"row-{row}": 1.0 for row in range(TRAIN) if row % EVERY and row % 2},
    }[kind]
    judge(client, ids(draw(client)))
    told = add_proxy(client, wrong=opinions)
    assert told.status_code == 201
    assert told.json()["calls_wrong"] == sum(map(round, opinions.values()))
    for _ in range(4):
        judge(client, ids(draw(client)))
        wrong = audit(client)["wrong"]
        assert wrong["low"] <= WRONG <= min(wrong["high"], wrong["at_most"])
    found = audit(client, by="label")
    assert found["proxy"]["name"] == "second annotator"
    assert found["reviewed"] == {"drawn": 100, "other": 0}
    assert all(one["wrong"]["low"] <= 16 <= one["wrong"]["high"] for one in found["labels"])


def test_a_judge_that_knows_saves_reviews(client: httpx.Client, services: Services) -> None:
    def width(job: str, wrong: dict[str, float] | None) -> int:
        url = f"/jobs/{job}"
        if wrong:
            assert client.post(f"{url}/proxies", json={"name": "x", "wrong": wrong}).status_code == 201
        for _ in range(4):
            items = client.post(f"{url}/audit/draws", json={"count": 20}).json()["items"]
            said = [{"sample_id": name, "decision": "remove" if is_wrong(name) else "keep"} for name in ids(items)]
            assert client.post(f"{url}/reviews", json=said).status_code == 201
        found = client.get(f"{url}/audit").json()["wrong"]
        return int(found["high"] - found["low"])

    add_finished(services.database, services.blobs, "job_2", "ds_2", rows=320, splits={"train": TRAIN, "test": 80})
    with services.database.write() as connection:
        audits.begin(connection, "job_2", 7, NOON)
    alone = width("job_1", None)
    assert width("job_2", {f"row-{row}": float(row % EVERY == 0) for row in range(TRAIN)}) < 0.8 * alone


def test_labels_of_a_judge_are_compared_with_the_given_ones_and_faults_are_named(client: httpx.Client) -> None:
    told = add_proxy(client, labels={"row-0": "cat", "row-1": "cat", "row-2": "eel"}).json()
    assert (told["number"], told["calls_right"], told["calls_wrong"], told["says_nothing"]) == (1, 2, 1, TRAIN - 3)
    unknown = add_proxy(client, labels={"row-0": "cow", "nobody": "cat"})
    assert unknown.status_code == 422
    assert [error["loc"][-2:] for error in unknown.json()["errors"]] == [["labels", "nobody"], ["labels", "row-0"]]
    assert add_proxy(client).status_code == 422
    assert audit(client)["proxy"]["number"] == 1
