"""Blocks of rows of a running job's scoring, which other workers than the job's may compute.

A block is a pure function of its rows: computed twice it has the same bits, and so there are no leases. Helpers take open blocks by
compare-and-set, and only while the job's claim holds. The worker of the job takes blocks away, from helpers that are slow too, and
computes them itself.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from service.domain.job import ENDED, RUNNING, State
from service.store.jobs import Claim
from service.store.tables import blocks, jobs


@dataclass(frozen=True)
class RowBlock:
    """The rows from `first` to before `last` of one computation of a job; `claim` is the owner of the job's claim."""

    job_id: str
    claim: str
    computation: str
    first: int
    last: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.first, self.last)


@dataclass(frozen=True)
class HelpedBlock:
    """A block that a helper computes, or has done."""

    block: RowBlock
    helper: str
    done: bool


def offer(connection: sa.Connection, offered: Sequence[RowBlock], kind: str) -> None:
    """Let helpers of a kind take blocks, all of one job and claim; those of earlier claims are removed."""
    first = offered[0]
    connection.execute(blocks.delete().where(blocks.c.job_id == first.job_id, blocks.c.claim != first.claim))
    rows = [{**asdict(one), "kind": kind, "helper": None, "done": False} for one in offered]
    connection.execute(blocks.insert(), rows)


def help_with(connection: sa.Connection, job_id: str, kind: str, helper: str) -> RowBlock | None:
    """Take the next open block of a job that is being scored; None where there is none for a helper of this kind."""
    held = sa.exists().where(
        jobs.c.id == blocks.c.job_id,
        jobs.c.owner == blocks.c.claim,
        jobs.c.state == State.SCORING,
        jobs.c.lease_until.is_not(None),
    )
    wanted = (blocks.c.job_id == job_id) & (blocks.c.kind == kind) & held
    while (found := _next(connection, wanted)) is not None:
        taken = connection.execute(blocks.update().where(_is(found), blocks.c.helper.is_(None)).values(helper=helper))
        if taken.rowcount:
            return found
    return None


def finish(connection: sa.Connection, block: RowBlock, helper: str) -> bool:
    """Mark a block as done; False where its result is not wanted any more."""
    mine = _is(block) & (blocks.c.helper == helper)
    return bool(connection.execute(blocks.update().where(mine, ~blocks.c.done).values(done=True)).rowcount)


def give_back(connection: sa.Connection, block: RowBlock, helper: str) -> None:
    """Let others take a block that this helper cannot compute."""
    mine = _is(block) & (blocks.c.helper == helper)
    connection.execute(blocks.update().where(mine, ~blocks.c.done).values(helper=None))


def take_away(connection: sa.Connection, held: Claim, computation: str) -> RowBlock | None:
    """Remove the next open block of a claim, of one computation if it has any, to compute it oneself; None where none is open."""
    mine = _of(held)
    for wanted in (mine & (blocks.c.computation == computation), mine):
        while (found := _next(connection, wanted)) is not None:
            if connection.execute(blocks.delete().where(_is(found), blocks.c.helper.is_(None))).rowcount:
                return found
    return None


def helped(connection: sa.Connection, held: Claim) -> list[HelpedBlock]:
    """The blocks of a claim that helpers have taken."""
    found = connection.execute(blocks.select().where(_of(held), blocks.c.helper.is_not(None)))
    return [HelpedBlock(_block(row), row.helper, row.done) for row in found]


def remove(connection: sa.Connection, block: RowBlock) -> None:
    """Remove a block: its result was read, or is not waited for any longer."""
    connection.execute(blocks.delete().where(_is(block)))


def remove_all(connection: sa.Connection, held: Claim) -> None:
    """Remove the blocks of a claim."""
    connection.execute(blocks.delete().where(_of(held)))


def remove_of_ended(connection: sa.Connection) -> None:
    """Remove the blocks of jobs that have ended, whose workers were killed."""
    ended = sa.select(jobs.c.id).where(jobs.c.state.in_(ENDED))
    connection.execute(blocks.delete().where(blocks.c.job_id.in_(ended)))


def count_running(connection: sa.Connection) -> int:
    """Number of jobs that workers compute."""
    return connection.execute(sa.select(sa.func.count()).where(jobs.c.state.in_(RUNNING))).scalar_one()


def _next(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> RowBlock | None:
    first = blocks.select().where(wanted, blocks.c.helper.is_(None)).order_by(blocks.c.computation, blocks.c.first)
    row = connection.execute(first.limit(1)).one_or_none()
    return None if row is None else _block(row)


def _of(held: Claim) -> sa.ColumnElement[bool]:
    return (blocks.c.job_id == held.job_id) & (blocks.c.claim == held.owner)


def _is(block: RowBlock) -> sa.ColumnElement[bool]:
    mine = (blocks.c.job_id == block.job_id) & (blocks.c.claim == block.claim)
    return mine & (blocks.c.computation == block.computation) & (blocks.c.first == block.first)


def _block(row: sa.Row[tuple[object, ...]]) -> RowBlock:
    return RowBlock(row.job_id, row.claim, row.computation, row.first, row.last)
