"""Rows, ranks and orders of a ranking, on SQLite and on PostgreSQL."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from service.domain.signal import SIGNALS
from service.store import datasets, jobs, ranking_columns, rankings
from service.store.engine import Database
from service.store.ranking_columns import RankingColumns
from tests.builders import COMPUTED, NOON, add_dataset, add_job, dataset_info, job_spec, ranking

ROWS = 41
INFO = dataset_info(rows=ROWS + ROWS // 3)


@pytest.fixture(autouse=True)
def saved(database: Database) -> None:
    info = add_dataset(database, rows=INFO.rows)
    for job_id in ("job_1", "job_2"):
        add_job(database, info, job_id)
        with database.write() as connection:
            rankings.save(connection, job_id, ranking(info))


@pytest.fixture(params=["by a worker", "of the table"])
def columns(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> RankingColumns:
    """The columns as a worker writes them, and as they are made for a job of an earlier version."""
    if request.param == "by a worker":
        ranking_columns.save(tmp_path / "ranking", ranking(INFO), COMPUTED)
    with database.read() as connection:
        return ranking_columns.opened(connection, tmp_path / "ranking", "job_1")


def whole(database: Database, columns: RankingColumns, by: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in rankings.top(connection, "job_1", columns, by, ROWS + 1)]


@pytest.mark.parametrize("by", ["mislabeled", "anomalous", "si"])
def test_the_top_is_the_ranking_by_score_and_index(database: Database, columns: RankingColumns, by: str) -> None:
    rows = ranking(INFO).to_pylist()
    expected = [row["index"] for row in sorted(rows, key=lambda row: (-row[by], row["index"]))]
    assert [row["index"] for row in whole(database, columns, by)] == expected
    with database.read() as connection:
        assert [row["index"] for row in rankings.top(connection, "job_1", columns, by, 7)] == expected[:7]


def test_scores_come_back_bit_by_bit(database: Database, columns: RankingColumns) -> None:
    written = {row["sample_id"]: row for row in ranking(INFO).to_pylist()}
    for row in whole(database, columns, "mislabeled"):
        expected = written[row["sample_id"]]
        assert {name: row[name] for name in expected} == expected
        assert row["support_same"] is None


def test_a_signal_that_was_not_computed_has_no_ranking(database: Database, columns: RankingColumns) -> None:
    assert whole(database, columns, "support_same") == []


def test_rows_come_in_the_asked_order_in_chunks(database: Database, columns: RankingColumns) -> None:
    wanted = np.arange(ROWS)[::-1]
    with database.read() as connection:
        chunks = list(rankings.in_order(connection, "job_1", columns, wanted, 10))
    assert [len(chunk) for chunk in chunks] == [10, 10, 10, 10, 1]
    assert [row["index"] for chunk in chunks for row in chunk] == wanted.tolist()


def test_ranks_agree_with_the_order(database: Database, columns: RankingColumns) -> None:
    orders = {by: [row["index"] for row in whole(database, columns, by)] for by in COMPUTED}
    for row in whole(database, columns, "mislabeled"):
        with database.read() as connection:
            ranks = rankings.ranks(connection, "job_1", columns, row, COMPUTED)
        assert ranks == {by: orders[by].index(row["index"]) + 1 for by in COMPUTED}


def test_ranks_of_a_job_without_orders_are_counted_in_the_table(database: Database, tmp_path: Path) -> None:
    rows = sorted(ranking(INFO).to_pylist(), key=lambda row: (-row["si"], row["index"]))
    with database.read() as connection:
        columns = ranking_columns.opened(connection, tmp_path / "ranking", "job_1")
        assert not columns.has_orders(["si"])
        for rank, row in enumerate(rows, 1):
            found = rankings.get(connection, "job_1", row["sample_id"])
            assert found is not None
            assert rankings.ranks(connection, "job_1", columns, found, ["si"]) == {"si": rank}


def test_verdicts_are_counted(database: Database) -> None:
    with database.read() as connection:
        counted = rankings.count_by_verdict(connection, "job_1")
    found = [row["verdict"] for row in ranking(INFO).to_pylist()]
    assert counted == {verdict: found.count(verdict) for verdict in ("clean", "mislabeled", "anomalous")}


def test_saving_again_replaces_and_leaves_other_jobs_alone(database: Database) -> None:
    with database.write() as connection:
        rankings.save(connection, "job_1", ranking(INFO).slice(0, 3))
        assert sum(rankings.count_by_verdict(connection, "job_1").values()) == 3
        assert sum(rankings.count_by_verdict(connection, "job_2").values()) == ROWS


@pytest.mark.parametrize(
    "name", ['a "quoted", name', "line\nbreak", "", "猫/写真 1.png", "NULL", "\\N", "a\tb\\c", " "]
)
def test_any_text_survives(database: Database, name: str) -> None:
    table = ranking(INFO).slice(1, 1)
    for column in ("sample_id", "given_label", "planted_label"):
        table = table.set_column(table.schema.get_field_index(column), column, pa.array([name]))
    with database.write() as connection:
        rankings.save(connection, "job_1", table)
        row = rankings.get(connection, "job_1", name)
    assert row is not None
    assert (row["sample_id"], row["given_label"], row["planted_label"], row["planted_kind"]) == (name, name, name, None)


def test_a_sample_that_is_not_ranked_is_none(database: Database) -> None:
    with database.read() as connection:
        assert rankings.get(connection, "job_1", f"row-{ROWS}") is None


def test_samples_are_found_by_position_in_the_asked_order(database: Database, columns: RankingColumns) -> None:
    with database.read() as connection:
        found = rankings.rows_at(connection, "job_1", columns, [7, ROWS + 3, 2])
    assert [row["sample_id"] for row in found] == ["row-7", "row-2"]


def test_summaries_come_back_and_are_replaced(database: Database) -> None:
    with database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"si": {"quantiles": {"0.5": 1.0}}, "aum": {}})
        rankings.save_summaries(connection, "job_1", {"si": {"quantiles": {"0.5": 2.0}}})
        assert rankings.summaries(connection, "job_1") == {"si": {"quantiles": {"0.5": 2.0}}}
        assert rankings.summaries(connection, "job_2") == {}
        rankings.save_summaries(connection, "job_1", {})
        assert rankings.summaries(connection, "job_1") == {}


def test_every_signal_has_its_column(database: Database, columns: RankingColumns) -> None:
    assert set(SIGNALS) <= set(whole(database, columns, "mislabeled")[0])


@pytest.mark.parametrize("by", ["mislabeled", "anomalous", "aai", None])
def test_rows_of_a_large_ranking_that_was_just_written_are_found_by_their_key(
    database: Database, by: str | None
) -> None:
    with database.write() as connection:
        info = dataset_info("ds_large", rows=16_000, splits={"train": 12_000})
        datasets.add(connection, info)
        jobs.add(connection, "job_large", job_spec(info), NOON)
        rankings.save(connection, "job_large", ranking(info))
    places, plans = range(0, 10_000, 100), list[str]()

    def explain(connection: sa.Connection, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            asked = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
            steps = connection.exec_driver_sql(f"{asked}{statement}", values)
            plans.append(" ".join(str(step) for row in steps for step in row))

    with database.read() as connection:
        sa.event.listen(connection, "before_cursor_execute", explain)
        if by is None:
            found: list[Any] = rankings.rows_by_index(connection, "job_large", places)
        else:
            found = rankings.scores_by_index(connection, "job_large", places, by)
    assert len(found) == len(places)
    assert plans
    assert all("pk_suspects" in plan or "sqlite_autoindex_suspects_1" in plan for plan in plans), plans
