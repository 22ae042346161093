"""One watch over jobs and datasets for all streams of a process."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.domain.review import Decision
from service.store import jobs, news, reviews
from service.store.engine import Database, open_database
from service.store.watch import OverviewWatch
from tests.builders import LEASE, NOON, add_dataset, add_job


@pytest.fixture
def watch(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[OverviewWatch]:
    """A watch whose looks are never fresh."""
    monkeypatch.setattr("service.store.watch._FRESH_S", 0)
    made = OverviewWatch()
    yield made
    made.close()


def test_what_another_connection_writes_is_seen_by_the_next_look(
    watch: OverviewWatch, database: Database, database_url: str
) -> None:
    info = add_dataset(database)
    before = watch.look(database)
    elsewhere = open_database(database_url)  # as another process has it
    steps: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: add_job(elsewhere, info), ["appeared"]),
        (lambda: claim(elsewhere), ["state", "progress"]),
        (lambda: review(database), ["reviews"]),
    ]
    for step, expected in steps:
        step()
        now = watch.look(database)
        assert [one["changed"] for one in watch.changes(before, now)] == [expected]
        before = now
    elsewhere.close()


def claim(database: Database) -> None:
    with database.write() as connection:
        jobs.claim(connection, "job_1", "w", LEASE, NOON)


def review(database: Database) -> None:
    with database.write() as connection:
        reviews.add(connection, "job_1", [Decision(sample_id="row-1", decision="keep")], "api", NOON)


def test_nothing_is_read_while_nothing_is_written(
    watch: OverviewWatch, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dataset(database)
    first = watch.look(database)
    monkeypatch.setattr(news, "overview", lambda _connection: pytest.fail("it was read again"))
    again = watch.look(database)
    assert again is first
    assert watch.changes(first, again) == ()


def test_streams_share_a_look_and_what_it_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.watch._FRESH_S", 60)
    watch, looks = OverviewWatch(), 0
    read = news.overview

    def counted(connection: sa.Connection) -> news.Overview:
        nonlocal looks
        looks += 1
        return read(connection)

    monkeypatch.setattr(news, "overview", counted)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: watch.look(database), range(32)))
    assert looks == 1
    assert all(one is found[0] for one in found)
    with database.read() as connection:
        other = read(connection)
    assert watch.changes(found[0], other) is watch.changes(found[0], other)
    watch.close()


def test_a_database_that_comes_back_is_looked_at_again(watch: OverviewWatch, database: Database) -> None:
    away = open_database("postgresql+psycopg://127.0.0.1:1/nothing")
    watch.look(database)
    with pytest.raises(sa.exc.OperationalError):
        watch.look(away)
    away.close()
    add_dataset(database)
    assert watch.look(database).datasets == {"ds_1"}
