"""Reviews are kept, and the latest holds, on SQLite and on PostgreSQL."""

import threading
from datetime import timedelta

import pytest

from service.domain.review import Decision, Outcome, Review, review_outcome
from service.store import jobs, reviews
from service.store.engine import Database
from tests.builders import NOON, add_dataset, add_job

LATER = NOON + timedelta(days=1)


def said(sample_id: str, decision: str, label: str | None = None) -> Decision:
    return Decision.model_validate({"sample_id": sample_id, "decision": decision, "label": label})


@pytest.fixture(autouse=True)
def queued(database: Database) -> None:
    info = add_dataset(database)
    for job_id in ("job_1", "job_2"):
        add_job(database, info, job_id)


def record(database: Database, *decisions: Decision, job_id: str = "job_1", skip_unchanged: bool = False) -> int:
    with database.write() as connection:
        return reviews.add(connection, job_id, decisions, "api", LATER, skip_unchanged=skip_unchanged)


def latest(database: Database, *ids: str, job_id: str = "job_1") -> dict[str, tuple[str, str | None]]:
    with database.read() as connection:
        found = reviews.latest(connection, job_id, ids or None)
    return {name: (review.decision, review.label) for name, review in found.items()}


def test_the_latest_review_of_a_sample_holds_and_all_are_kept(database: Database) -> None:
    assert record(database, said("row-1", "keep"), said("row-2", "remove"), said("row-1", "relabel", "dog")) == 3
    record(database, said("row-2", "unsure"))
    assert latest(database) == {"row-1": ("relabel", "dog"), "row-2": ("unsure", None)}
    with database.read() as connection:
        history, _ = reviews.page(connection, "job_1", 0, 9)
        part, total = reviews.page(connection, "job_1", 1, 2)
    assert [(one.seq, one.decision, one.source, one.created_at) for one in history if one.sample_id == "row-1"] == [
        (1, "keep", "api", LATER),
        (3, "relabel", "api", LATER),
    ]
    assert ([one.seq for one in part], total) == ([2, 3], 4)


def test_only_the_samples_asked_for_are_given_however_many(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "_CHUNK", 2)
    record(database, *(said(f"row-{i}", "keep") for i in range(7)))
    wanted = [f"row-{i}" for i in (0, 2, 4, 6, 9)]
    assert sorted(latest(database, *wanted)) == wanted[:-1]


def test_reviews_of_one_job_are_not_those_of_another(database: Database) -> None:
    record(database, said("row-1", "keep"))
    record(database, said("row-1", "remove"), job_id="job_2")
    assert (latest(database), latest(database, job_id="job_2")) == (
        {"row-1": ("keep", None)},
        {"row-1": ("remove", None)},
    )


def test_what_is_no_news_is_not_written_twice(database: Database) -> None:
    seen = [said("row-1", "keep"), said("row-2", "relabel", "dog"), said("row-1", "keep")]
    assert record(database, *seen, skip_unchanged=True) == 2
    assert record(database, *seen, skip_unchanged=True) == 0
    assert record(database, said("row-2", "relabel", "eel"), said("row-2", "relabel", "dog"), skip_unchanged=True) == 2
    assert latest(database)["row-2"] == ("relabel", "dog")


def test_writers_at_once_lose_nothing(database: Database) -> None:
    def write(writer: int) -> None:
        for turn in range(5):
            record(database, said(f"row-{writer}", "keep"), said(f"row-{writer}", "relabel", f"label {turn}"))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        everything, total = reviews.page(connection, "job_1", 0, 100)
    assert ([one.seq for one in everything], total) == (list(range(1, 41)), 40)
    assert set(latest(database).values()) == {("relabel", "label 4")}


def test_reviews_go_with_their_job(database: Database) -> None:
    record(database, said("row-1", "keep"))
    with database.write() as connection:
        jobs.cancel(connection, "job_1", LATER)
        jobs.remove(connection, "job_1")
    assert latest(database) == {}


@pytest.mark.parametrize(
    ("decision", "label", "expected"),
    [
        ("relabel", "dog", Outcome.RELABELLED_TO_SUGGESTION),
        ("relabel", "eel", Outcome.RELABELLED_OTHERWISE),
        ("relabel", "cat", Outcome.CONFIRMED),
        ("keep", None, Outcome.CONFIRMED),
        ("remove", None, Outcome.REMOVED),
        ("unsure", None, Outcome.UNSURE),
    ],
)
def test_an_outcome_compares_the_review_with_what_was_given_and_suggested(
    decision: str, label: str | None, expected: Outcome
) -> None:
    known = {"job": "job_1", "seq": 1, "given_label": "cat", "source": "api", "created_at": NOON}
    review = Review.model_validate(known | said("a", decision, label).model_dump())
    assert review_outcome(review, "cat", "dog") == expected
    assert review_outcome(None, "cat", "dog") == Outcome.PENDING


WORDS = [("keep", None), ("relabel", "dog"), ("remove", None), ("unsure", None), ("withdraw", None)]


@pytest.mark.parametrize(("decision", "label"), WORDS)
@pytest.mark.parametrize("given", ["cat", "dog", "eel"])
def test_a_word_means_the_same_whatever_a_sample_is_called(decision: str, label: str | None, given: str) -> None:
    known = {"job": "job_1", "seq": 1, "given_label": "cat", "source": "api", "created_at": NOON}
    review = Review.model_validate(known | said("a", decision, label).model_dump())
    word = review.about(given)
    right = {"keep": "cat", "relabel": "dog"}.get(decision)
    if right is None:
        assert word == review
    else:
        assert (word.decision, word.label) == (("keep", None) if right == given else ("relabel", right))
    assert [word.about(name) for name in ("cat", "dog", "eel")] == [
        review.about(name) for name in ("cat", "dog", "eel")
    ]


def test_a_keep_of_which_nobody_knows_what_was_kept_stays_a_keep() -> None:
    known = {"job": "job_1", "seq": 1, "given_label": None, "source": "api", "created_at": NOON}
    review = Review.model_validate(known | said("a", "keep").model_dump())
    assert review.about("dog").decision == "keep"


@pytest.mark.parametrize(
    ("decision", "label"), [("relabel", None), ("keep", "dog"), ("remove", "dog"), ("guess", None)]
)
def test_a_decision_without_its_label_or_with_one_too_many_is_refused(decision: str, label: str | None) -> None:
    with pytest.raises(ValueError, match=r"relabel"):
        said("row-1", decision, label)
