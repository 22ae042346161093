"""Blocks of a job's scoring: taken once, only while the job's claim holds, and never waited for in vain."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from service.domain.job import Progress, State
from service.store import blocks, jobs
from service.store.blocks import RowBlock
from service.store.engine import Database
from service.store.jobs import Claim
from service.store.tables import blocks as table
from tests.builders import LEASE, NOON, add_dataset, add_job

KIND = "this kind"


@pytest.fixture
def held(database: Database) -> Claim:
    """The claim of a job that is being scored."""
    add_job(database, add_dataset(database))
    return claimed(database, "worker-1")


def claimed(database: Database, owner: str) -> Claim:
    with database.write() as connection:
        found = jobs.claim(connection, "job_1", owner, LEASE, NOON)
        assert found is not None
        for state in (State.TRAINING, State.SCORING):
            jobs.advance(connection, found, state, Progress(phase=state), NOON)
    return found


def offered(database: Database, held: Claim, computation: str = "pairs", firsts: Sequence[int] = (0, 10, 20)) -> None:
    with database.write() as connection:
        found = [RowBlock(held.job_id, held.owner, computation, first, first + 10) for first in firsts]
        blocks.offer(connection, found, KIND)


def taken(database: Database, helper: str = "helper", kind: str = KIND) -> RowBlock | None:
    with database.write() as connection:
        return blocks.help_with(connection, "job_1", kind, helper)


def first_of(block: RowBlock | None) -> int | None:
    return None if block is None else block.first


def test_each_block_is_taken_once_by_a_helper_or_by_the_worker_of_the_job(database: Database, held: Claim) -> None:
    offered(database, held, "pairs")
    offered(database, held, "comparison-0", [0])
    first = taken(database)
    assert first == RowBlock("job_1", "worker-1", "comparison-0", 0, 10)
    with database.write() as connection:
        own = [blocks.take_away(connection, held, "pairs") for _ in range(2)]
    assert [first_of(one) for one in own] == [0, 10]
    last = taken(database)
    assert last is not None
    assert last.rows == slice(20, 30)
    assert taken(database) is None
    with database.write() as connection:
        assert blocks.take_away(connection, held, "pairs") is None
        assert blocks.finish(connection, last, "helper")
        assert not blocks.finish(connection, last, "helper")
        assert {(one.block.first, one.done) for one in blocks.helped(connection, held)} == {(0, False), (20, True)}


def test_the_worker_of_the_job_takes_blocks_of_other_computations_when_its_own_are_taken(
    database: Database, held: Claim
) -> None:
    offered(database, held, "pairs", [0])
    with database.write() as connection:
        found = blocks.take_away(connection, held, "comparison-0")
    assert found is not None
    assert found.computation == "pairs"


def test_a_helper_that_is_not_of_the_kind_takes_nothing(database: Database, held: Claim) -> None:
    offered(database, held)
    assert taken(database, kind="another kind") is None
    assert first_of(taken(database)) == 0


def test_nobody_helps_a_job_whose_claim_is_lost(database: Database, held: Claim) -> None:
    offered(database, held)
    assert first_of(taken(database)) == 0
    with database.write() as connection:
        connection.execute(sa.text("UPDATE jobs SET lease_until = NULL"))  # its worker fell silent
    assert taken(database) is None
    following = claimed(database, "worker-2")
    assert taken(database) is None
    offered(database, following, firsts=[50])
    assert first_of(taken(database)) == 50
    with database.read() as connection:
        # What was offered under the earlier claim is gone.
        assert {row.claim for row in connection.execute(table.select())} == {"worker-2"}
    with database.write() as connection:
        jobs.cancel(connection, "job_1", NOON)
    assert taken(database) is None


def test_a_helper_whose_block_was_taken_away_cannot_finish_it(database: Database, held: Claim) -> None:
    offered(database, held, firsts=[0])
    block = taken(database, "slow")
    assert block is not None
    with database.write() as connection:
        assert not blocks.finish(connection, block, "another")
        blocks.remove(connection, block)
        assert not blocks.finish(connection, block, "slow")


def test_a_block_that_is_given_back_is_taken_by_another(database: Database, held: Claim) -> None:
    offered(database, held, firsts=[0])
    block = taken(database, "one")
    assert block is not None
    with database.write() as connection:
        blocks.give_back(connection, block, "another")
    assert taken(database, "another") is None
    with database.write() as connection:
        blocks.give_back(connection, block, "one")
    assert taken(database, "another") == block


def test_blocks_go_with_their_job_and_those_of_jobs_that_ended_are_collected(database: Database, held: Claim) -> None:
    offered(database, held)
    with database.write() as connection:
        blocks.remove_of_ended(connection)
        assert len(connection.execute(table.select()).all()) == 3
        jobs.cancel(connection, "job_1", NOON)
        blocks.remove_of_ended(connection)
        assert connection.execute(table.select()).all() == []
    offered(database, held)
    with database.write() as connection:
        assert jobs.remove(connection, "job_1")
        assert connection.execute(table.select()).all() == []
