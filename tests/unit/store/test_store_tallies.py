"""What a ranking adds up to, on SQLite and on PostgreSQL, against counting its rows."""

from collections import Counter
from typing import Any

import pytest

from service.store import rankings, tallies
from service.store.engine import Database
from service.store.tallies import Confusion
from tests.builders import add_dataset, add_job, dataset_info, ranking

INFO = dataset_info(rows=54, splits={"train": 41, "test": 13})


@pytest.fixture(autouse=True)
def rows(database: Database) -> list[dict[str, Any]]:
    """A saved ranking, beside one of another job."""
    info = add_dataset(database, rows=INFO.rows, splits=INFO.splits)
    for job_id in ("job_1", "job_2"):
        add_job(database, info, job_id)
        with database.write() as connection:
            rankings.save(connection, job_id, ranking(info))
    saved: list[dict[str, Any]] = ranking(INFO).to_pylist()
    return saved


def test_every_label_is_counted_by_verdict(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.read() as connection:
        found = tallies.by_class(connection, "job_1")
    expected = Counter((row["given_label"], row["verdict"]) for row in rows)
    assert {(one.label, verdict): number for one in found for verdict, number in one.verdicts.items()} == expected
    for one in found:
        mine = [row["verdict"] for row in rows if row["given_label"] == one.label]
        assert (one.samples, one.flagged) == (len(mine), len(mine) - mine.count("clean"))


def test_confusions_are_of_what_is_flagged_as_mislabeled(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.read() as connection:
        found = tallies.confusions(connection, "job_1", 100)
        assert tallies.confusions(connection, "job_1", 2) == found[:2]
    expected = Counter(
        (row["given_label"], row["suggested_label"])
        for row in rows
        if row["verdict"] == "mislabeled" and row["given_label"] != row["suggested_label"]
    )
    order = sorted(expected, key=lambda pair: (-expected[pair], pair))
    assert found == [Confusion(*pair, expected[pair]) for pair in order]
    assert len(found) > 2


def test_every_score_is_in_one_place_of_the_histogram(database: Database, rows: list[dict[str, Any]]) -> None:
    # Two edges are scores themselves: those lie above, not below.
    scores = sorted({row["mislabeled"] for row in rows})
    edges = [0.0, scores[3], 0.4, scores[-2], 1.0]
    with database.read() as connection:
        found = tallies.histogram(connection, "job_1", "mislabeled", edges)
        assert tallies.histogram(connection, "job_1", "support_same", edges) == {}
    for verdict in {row["verdict"] for row in rows}:
        mine = [row["mislabeled"] for row in rows if row["verdict"] == verdict]
        places = Counter(sum(score >= edge for edge in edges[1:-1]) for score in mine)
        assert found[verdict] == [places[place] for place in range(4)]
    assert sum(map(sum, found.values())) == len(rows)


def test_a_job_without_a_ranking_adds_up_to_nothing(database: Database) -> None:
    with database.read() as connection:
        assert tallies.by_class(connection, "job_3") == []
        assert tallies.confusions(connection, "job_3", 9) == []
        assert tallies.histogram(connection, "job_3", "mislabeled", [0, 0.5, 1]) == {}
