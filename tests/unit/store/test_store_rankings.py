"""Pages, ranks and filters of a ranking, on SQLite and on PostgreSQL."""

from typing import Any

import pyarrow as pa
import pytest

from service.domain.signal import SIGNALS
from service.store import datasets, jobs, rankings
from service.store.engine import Database
from service.store.rankings import PageStart, Query
from service.store.tables import suspects
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


def walk(database: Database, query: Query, limit: int) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    after: PageStart | None = None
    with database.read() as connection:
        while rows := rankings.page(connection, "job_1", query, after, limit):
            seen += [dict(row) for row in rows]
            after = PageStart(seen[-1][query.by], seen[-1]["index"])
    return seen


@pytest.mark.parametrize("by", ["mislabeled", "anomalous", "si"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_are_the_ranking_whatever_their_size(database: Database, by: str, limit: int) -> None:
    rows = ranking(INFO).to_pylist()
    expected = [row["index"] for row in sorted(rows, key=lambda row: (-row[by], row["index"]))]
    assert [row["index"] for row in walk(database, Query(by), limit)] == expected


def test_scores_come_back_bit_by_bit(database: Database) -> None:
    written = {row["sample_id"]: row for row in ranking(INFO).to_pylist()}
    for row in walk(database, Query(), 100):
        expected = written[row["sample_id"]]
        assert {name: row[name] for name in expected} == expected
        assert row["support_same"] is None


def test_filters_keep_the_matching_rows_in_order(database: Database) -> None:
    whole = walk(database, Query(), 1000)
    cases: list[tuple[Query, Any]] = [
        (Query(label="dog"), lambda row: row["given_label"] == "dog"),
        (Query(suggested="eel"), lambda row: row["suggested_label"] == "eel"),
        (Query(verdict="anomalous"), lambda row: row["verdict"] == "anomalous"),
        (Query(min_score=0.5), lambda row: row["mislabeled"] >= 0.5),
        (
            Query(label="cat", verdict="mislabeled", min_score=0.1),
            lambda row: row["given_label"] == "cat" and row["verdict"] == "mislabeled" and row["mislabeled"] >= 0.1,
        ),
    ]
    for query, wanted in cases:
        expected = [row for row in whole if wanted(row)]
        assert expected
        assert walk(database, query, 2) == expected
        with database.read() as connection:
            assert rankings.count(connection, "job_1", query) == len(expected)


def test_a_signal_that_was_not_computed_has_no_ranking(database: Database) -> None:
    assert walk(database, Query("support_same"), 10) == []


@pytest.mark.parametrize("by", ["mislabeled", "aum"])
def test_the_stream_is_the_ranking_in_chunks(database: Database, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankings, "_CHUNK", 10)
    with database.read() as connection:
        chunks = list(rankings.stream(connection, "job_1", Query(by)))
    assert [len(chunk) for chunk in chunks] == [10, 10, 10, 10, 1]
    assert [dict(row) for chunk in chunks for row in chunk] == walk(database, Query(by), 1000)


def test_ranks_agree_with_the_pages(database: Database) -> None:
    orders = {by: [row["index"] for row in walk(database, Query(by), 1000)] for by in COMPUTED}
    with database.read() as connection:
        for row in rankings.page(connection, "job_1", Query(), limit=ROWS):
            ranks = rankings.ranks(connection, "job_1", row, COMPUTED)
            assert ranks == {by: orders[by].index(row["index"]) + 1 for by in COMPUTED}
        assert rankings.ranks(connection, "job_1", row, []) == {}


def test_verdicts_are_counted(database: Database) -> None:
    with database.read() as connection:
        counted = rankings.count_by_verdict(connection, "job_1")
    found = [row["verdict"] for row in ranking(INFO).to_pylist()]
    assert counted == {verdict: found.count(verdict) for verdict in ("clean", "mislabeled", "anomalous")}


def test_saving_again_replaces_and_leaves_other_jobs_alone(database: Database) -> None:
    with database.write() as connection:
        rankings.save(connection, "job_1", ranking(INFO).slice(0, 3))
        assert rankings.count(connection, "job_1", Query()) == 3
        assert rankings.count(connection, "job_2", Query()) == ROWS


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


def test_samples_are_found_by_position_in_the_asked_order(database: Database) -> None:
    with database.read() as connection:
        found = rankings.rows_at(connection, "job_1", [7, ROWS + 3, 2])
    assert [row["sample_id"] for row in found] == ["row-7", "row-2"]


def test_summaries_come_back_and_are_replaced(database: Database) -> None:
    with database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"si": {"quantiles": {"0.5": 1.0}}, "aum": {}})
        rankings.save_summaries(connection, "job_1", {"si": {"quantiles": {"0.5": 2.0}}})
        assert rankings.summaries(connection, "job_1") == {"si": {"quantiles": {"0.5": 2.0}}}
        assert rankings.summaries(connection, "job_2") == {}
        rankings.save_summaries(connection, "job_1", {})
        assert rankings.summaries(connection, "job_1") == {}


def test_every_signal_has_its_column(database: Database) -> None:
    with database.read() as connection:
        row = rankings.page(connection, "job_1", Query(), limit=1)[0]
    assert set(SIGNALS) <= set(row)


def test_rows_of_a_large_ranking_that_was_just_written_are_found_by_their_key(database: Database) -> None:
    with database.write() as connection:
        info = dataset_info("ds_large", rows=16_000, splits={"train": 12_000})
        datasets.add(connection, info)
        jobs.add(connection, "job_large", job_spec(info), NOON)
        rankings.save(connection, "job_large", ranking(info))
    with database.read() as connection:
        wanted = (suspects.c.job_id == "job_large") & suspects.c.index.in_(range(0, 10_000, 100))
        page = suspects.select().where(wanted).compile(connection.engine, compile_kwargs={"literal_binds": True})
        asked = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = " ".join(str(step) for row in connection.exec_driver_sql(f"{asked}{page}") for step in row)
    assert "pk_suspects" in plan or "sqlite_autoindex_suspects_1" in plan, plan
