"""Draws of an audit: samples to review next, written down before anyone sees them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.actions.measure_labels import goal_from
from service.actions.once import create_once, made_before
from service.actions.open_audit import AuditState, open_audit
from service.audit.draw import choose_batch
from service.audit.goal import listed_share
from service.audit.measure import Answer
from service.audit.working_model import bin_ends, fit_model
from service.domain.audit import DrawRequest
from service.domain.errors import Conflict, NotFound
from service.domain.ids import new_id
from service.services import Services
from service.store import audits, rankings, reviews
from service.store.audits import AuditBatch, StoredModel
from service.store.idempotency import IdempotentRequest
from service.store.jobs import Job
from service.store.rankings import Row

Array = npt.NDArray[Any]
_LEVEL = 0.95
_REFITTED_AFTER = 10  # reviews
_HELD = timedelta(minutes=30)
_SEED_BITS = 62


@dataclass(frozen=True)
class DrawnBatch:
    """Rows of the ranking whose labels are audited, in the order to review them in; which of them were drawn is not told."""

    id: str
    goal: str
    job: Job
    rows: Sequence[Row]


def draw_samples(services: Services, job: Job, request: DrawRequest, once: IdempotentRequest) -> DrawnBatch:
    """Hand out samples for the audit of a completed job; a request that is repeated gets the same ones.

    Samples that were handed out and not reviewed come first: at once to the same reviewer, after half an hour to anyone. Fewer than
    asked for come when no others are left. Raises Conflict when the job was deleted meanwhile.
    """
    batch_id = made_before(services, once)
    if batch_id is None:
        new = new_id("draw_")

        def write(connection: sa.Connection) -> None:
            _draw(services, connection, job, request, new)

        try:
            batch_id = create_once(services, once, new, write)
        except sa.exc.IntegrityError as error:
            raise Conflict("the job was deleted in the meantime", members={"state": "deleted"}) from error
    with services.database.read() as connection:
        batch = audits.get_batch(connection, batch_id)
        state = open_audit(services, connection, job, request.of)
        if batch is None:
            raise NotFound(f"the batch {batch_id} was deleted in the meantime")
        found = {row["index"]: row for row in rankings.rows_by_index(connection, state.job.id, batch.items)}
    return DrawnBatch(batch.id, batch.goal, state.job, [found[index] for index in batch.items])


def _draw(services: Services, connection: sa.Connection, job: Job, request: DrawRequest, batch_id: str) -> None:
    # Two who draw at once would otherwise get the same samples.
    reviews.lock_chain(connection, job.id)
    now, state = services.now(), open_audit(services, connection, job, request.of)
    if state.stored is None:
        audits.begin(connection, state.job.id, secrets.randbits(_SEED_BITS), now)
        state = open_audit(services, connection, job, request.of)
    if request.confirm is not None and request.confirm != state.confirm:
        audits.set_confirm(connection, state.job.id, request.confirm)
        state = open_audit(services, connection, job, request.of)
    again = _handed_out(connection, state, request, now)[: request.count]
    seen_before = state.columns.index[state.log.row[again]]
    outside, bins = _outside(state)
    seq = state.entries + len(outside)
    random = np.random.default_rng([state.seed, seq])
    is_left = (state.answers == Answer.NONE) & ~state.is_logged
    stored, is_new = _model(state, seq, is_left)
    share = _listed_share(state, request.goal, stored)
    cells = state.ranked.cells if state.ranked.width > len(bin_ends(len(is_left))) else None
    items = choose_batch(stored.model, state.ranked.order, is_left, request.count - len(again), share, random, cells)
    index = state.columns.index[[item.row for item in items]]
    if items:
        audits.add_outside(connection, state.job.id, state.entries, state.columns.index[outside], bins)
        if is_new:
            audits.add_model(connection, state.job.id, stored)
        audits.add_items(connection, state.job.id, seq, items, index, batch_id)
    shown = np.concatenate([seen_before, index]).astype(int).tolist()
    audits.add_batch(connection, state.job.id, AuditBatch(batch_id, request.goal, request.reviewer, shown, now))


def _handed_out(connection: sa.Connection, state: AuditState, request: DrawRequest, now: datetime) -> Array:
    """Entries of the log that were handed out and not reviewed, and that nobody else may be looking at."""
    rows = state.log.row
    waiting = np.flatnonzero(state.answers[rows] == Answer.NONE)
    # Whoever has called a label wrong is not asked again; others are, at once.
    mine = {row for row, people in state.unconfirmed.items() if request.reviewer in people}
    waiting = waiting[~np.isin(rows[waiting], list(mine))]
    asked_of_others = np.isin(rows[waiting], list(state.unconfirmed.keys() - mine))
    others = [
        index
        for batch in audits.batches_since(connection, state.job.id, now - _HELD)
        if request.reviewer is None or batch.reviewer != request.reviewer
        for index in batch.items
    ]
    is_held = np.isin(state.columns.index[rows[waiting]], others)
    return waiting[asked_of_others | ~is_held]


def _outside(state: AuditState) -> tuple[Array, Array]:
    """Rows that were reviewed without the audit since, and their bins by the last model."""
    rows = np.flatnonzero(~state.is_logged & (state.answers != Answer.NONE))
    # Before the first model, and before one of another ranking, which is made now, bins mean nothing.
    is_of_last = bool(state.models) and state.models[-1].ranked_by == state.ranked_by
    return rows, state.ranked.cells[rows] if is_of_last else np.zeros(len(rows), np.int8)


def _model(state: AuditState, seq: int, is_left: Array) -> tuple[StoredModel, bool]:
    """The model to draw by, and whether it is new: after ten more reviews, and for a new ranking."""
    reviewed = int((state.answers != Answer.NONE).sum())
    if state.models:
        last = state.models[-1]
        if last.ranked_by == state.ranked_by and abs(reviewed - last.reviewed) < _REFITTED_AFTER:
            return last, False
    model = fit_model(seq, *state.counts_by_cell(is_left), len(is_left))
    return StoredModel(model, state.ranked_by, reviewed), True


def _listed_share(state: AuditState, goal: str, stored: StoredModel) -> float:
    left = np.bincount(state.ranked.cells[state.answers == Answer.NONE], minlength=len(stored.model.left))
    expected = float(left @ stored.model.probability)
    return listed_share(goal_from(goal), state.measured(_LEVEL), expected)
