"""Rescorings in the ledger: one at a time, written by its claim alone, and versions of a ranking beside each other."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from service.domain.job import JobError
from service.domain.review import Decision
from service.store import ranking_columns, rankings, rescorings, reviews
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.open_rankings import OpenRankings
from service.store.rescorings import RescoringClaim, RescoringLost
from tests.builders import CLASSES, LEASE, NOON, add_finished

LATER = NOON + 2 * LEASE


@pytest.fixture(autouse=True)
def job(database: Database, blobs: Blobs) -> None:
    add_finished(database, blobs, rows=16)  # 12 are ranked


def claimed(database: Database, owner: str = "w") -> RescoringClaim:
    with database.write() as connection:
        rescorings.request(connection, "job_1", 3, NOON)
        found = rescorings.claim(connection, "job_1", owner, LEASE, NOON)
    assert found is not None
    return found


def test_one_that_waits_is_not_asked_for_twice_and_one_that_runs_is_followed_by_another(database: Database) -> None:
    with database.write() as connection:
        first = rescorings.request(connection, "job_1", 3, NOON)
        assert rescorings.request(connection, "job_1", 5, NOON) == first
    held = claimed(database)
    with database.write() as connection:
        assert rescorings.request(connection, "job_1", 5, NOON).version == 2
        # The second one waits until the first has ended.
        assert rescorings.claim(connection, "job_1", "other", LEASE, NOON) is None
        rescorings.complete(connection, held, 20, 4, NOON)
        assert rescorings.version(connection, "job_1") == 1
        following = rescorings.claim(connection, "job_1", "other", LEASE, NOON)
        assert following is not None
        assert following.version == 2


def test_whoever_lost_the_claim_can_no_longer_write(database: Database) -> None:
    slow = claimed(database)
    with database.write() as connection:
        quick = rescorings.claim(connection, "job_1", "quick", LEASE, LATER)
    assert quick is not None
    assert (quick.version, quick.attempt) == (1, 2)
    late_writes: tuple[Callable[[sa.Connection], object], ...] = (
        lambda connection: rescorings.renew(connection, slow, LEASE, LATER),
        lambda connection: rescorings.complete(connection, slow, 20, 3, LATER),
        lambda connection: rescorings.fail(connection, slow, JobError(code="x", detail="y"), LATER),
        lambda connection: rescorings.put_back(connection, slow),
    )
    for write in late_writes:
        with pytest.raises(RescoringLost), database.write() as connection:
            write(connection)
    with database.write() as connection:
        rescorings.put_back(connection, quick)
        assert rescorings.take_due(connection, LEASE, 5, LATER) == [("job_1", 0)]
        assert rescorings.take_due(connection, LEASE, 5, LATER) == []


def test_what_loses_every_worker_is_failed_and_the_ranking_stays(database: Database) -> None:
    claimed(database)
    with database.write() as connection:
        assert rescorings.take_due(connection, LEASE, 1, LATER) == []
        last = rescorings.latest(connection, "job_1")
        assert rescorings.version(connection, "job_1") == 0
    assert last is not None
    assert (last.state, last.error and last.error.code) == ("failed", "worker_lost")


def test_a_job_is_due_after_so_many_reviews_since_the_last_time(database: Database) -> None:
    said = [Decision(sample_id=f"row-{row}", decision="keep") for row in range(6)]
    with database.write() as connection:
        reviews.add(connection, "job_1", said, "api", NOON)
        assert rescorings.due(connection, 6) == ["job_1"]
        assert rescorings.due(connection, 7) == []
        rescorings.request(connection, "job_1", 4, NOON)
        assert rescorings.due(connection, 3) == []
        assert rescorings.due(connection, 2) == ["job_1"]


def test_versions_of_a_ranking_stand_beside_each_other(database: Database, blobs: Blobs) -> None:
    opened, held = OpenRankings(), claimed(database)
    with database.read() as connection:
        before = opened.get(connection, blobs, "job_1").columns
        order = before.order(connection, "job_1", "mislabeled").tolist()
        assert order != list(range(12))
        untouched = before.order(connection, "job_1", "aum").tolist()
        assert opened.verdicts(connection, blobs, "job_1") == {"mislabeled": 3, "anomalous": 1, "clean": 8}
    table = pa.table(
        {
            "index": np.arange(12),
            "suggested_label": [CLASSES[2]] * 12,
            "suggested_confidence": np.full(12, 0.25),
            "verdict": ["mislabeled"] + ["clean"] * 11,
            "mislabeled": np.linspace(1, 0, 12),
            "anomalous": np.linspace(0, 1, 12),
        }
    )
    ranking_columns.save_version(
        blobs.ranking("job_1", 1), blobs.ranking("job_1"), table, {"wrong": np.zeros(12, np.float32)}
    )
    with database.write() as connection:
        # Before the commit everybody reads the version before.
        assert opened.get(connection, blobs, "job_1").columns is before
        rescorings.complete(connection, held, 20, 3, NOON)
        rankings.replace_columns(connection, "job_1", table)
    with database.read() as connection:
        after = opened.get(connection, blobs, "job_1").columns
        assert after.order(connection, "job_1", "mislabeled").tolist() == list(range(12))
        assert after.order(connection, "job_1", "anomalous").tolist() == list(range(12))[::-1]
        assert after.order(connection, "job_1", "aum").tolist() == untouched
        assert after.labels == before.labels
        assert {after.labels[place] for place in after.suggested} == {"eel"}
        assert after.given.tolist() == before.given.tolist()
        assert opened.verdicts(connection, blobs, "job_1") == {"mislabeled": 1, "clean": 11}
        (first,) = rankings.top(connection, "job_1", after, "mislabeled", 1)
        assert (first["index"], first["verdict"], first["suggested_label"]) == (0, "mislabeled", "eel")
        assert first["sample_id"] == "row-0"
        # Audits need the order by which samples were drawn.
        earlier = opened.get(connection, blobs, "job_1", 0).columns
        assert earlier.order(connection, "job_1", "mislabeled").tolist() == order
