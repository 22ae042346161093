"""What a ranking adds up to, on SQLite and on PostgreSQL, against counting its rows."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.store import ranking_columns, rankings, tallies
from service.store.engine import Database
from service.store.ranking_columns import RankingColumns
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


@pytest.fixture
def columns(database: Database, rows: list[dict[str, Any]], tmp_path: Path) -> RankingColumns:
    """Its columns."""
    return opened(database, tmp_path, "job_1")


def opened(database: Database, folder: Path, job_id: str) -> RankingColumns:
    with database.read() as connection:
        return ranking_columns.opened(connection, folder / job_id, job_id)


def test_every_label_is_counted_by_verdict(columns: RankingColumns, rows: list[dict[str, Any]]) -> None:
    found = tallies.by_class(columns)
    expected = Counter((row["given_label"], row["verdict"]) for row in rows)
    assert {(one.label, verdict): number for one in found for verdict, number in one.verdicts.items()} == expected
    for one in found:
        mine = [row["verdict"] for row in rows if row["given_label"] == one.label]
        assert (one.samples, one.flagged) == (len(mine), len(mine) - mine.count("clean"))


def test_confusions_are_of_what_is_flagged_as_mislabeled(columns: RankingColumns, rows: list[dict[str, Any]]) -> None:
    found = tallies.confusions(columns, 100)
    assert tallies.confusions(columns, 2) == found[:2]
    expected = Counter(
        (row["given_label"], row["suggested_label"])
        for row in rows
        if row["verdict"] == "mislabeled" and row["given_label"] != row["suggested_label"]
    )
    order = sorted(expected, key=lambda pair: (-expected[pair], pair))
    assert found == [Confusion(*pair, expected[pair]) for pair in order]
    assert len(found) > 2


def test_every_score_is_in_one_place_of_the_histogram(
    database: Database, columns: RankingColumns, rows: list[dict[str, Any]]
) -> None:
    # Two edges are scores themselves: those lie above, not below.
    scores = sorted({row["mislabeled"] for row in rows})
    edges = [0.0, scores[3], 0.4, scores[-2], 1.0]
    with database.read() as connection:
        found = tallies.histogram(connection, "job_1", columns, "mislabeled", edges)
        assert tallies.histogram(connection, "job_1", columns, "support_same", edges) == {}
    for verdict in {row["verdict"] for row in rows}:
        mine = [row["mislabeled"] for row in rows if row["verdict"] == verdict]
        places = Counter(sum(score >= edge for edge in edges[1:-1]) for score in mine)
        assert found[verdict] == [places[place] for place in range(4)]
    assert sum(map(sum, found.values())) == len(rows)


def test_a_job_without_a_ranking_adds_up_to_nothing(database: Database, tmp_path: Path) -> None:
    columns = opened(database, tmp_path, "job_3")
    assert tallies.by_class(columns) == []
    assert tallies.confusions(columns, 9) == []
    with database.read() as connection:
        assert tallies.histogram(connection, "job_3", columns, "mislabeled", [0, 0.5, 1]) == {}
