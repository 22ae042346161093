"""What people decided of the samples of a job. Everything is kept; the latest of a sample holds, unless it withdraws."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from service.domain.review import Decision, Review
from service.store.tables import jobs, loops, reviews

_CHUNK = 1_000  # ids in one statement


def record(
    connection: sa.Connection,
    job_id: str,
    decisions: Sequence[Decision],
    source: str,
    now: datetime,
    *,
    news_only: bool = False,
) -> int:
    """Append decisions in their order; gives how many were written. The caller has checked samples and labels.

    With `news_only` those that say what holds already are left out: reading a labelling tool twice writes nothing
    the second time.
    """
    # Two writers of one job would otherwise draw the same numbers, or both miss what the other writes.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    if news_only:
        decisions = _news(connection, job_id, decisions)
    last = connection.execute(sa.select(sa.func.max(reviews.c.seq)).where(reviews.c.job_id == job_id)).scalar_one() or 0
    rows = [
        {"job_id": job_id, "seq": seq, **decision.model_dump(), "source": source, "created_at": now}
        for seq, decision in enumerate(decisions, last + 1)
    ]
    if rows:
        connection.execute(reviews.insert(), rows)
        # What kept the job from being run again may be mended by this.
        connection.execute(loops.update().where(loops.c.job_id == job_id).values(trouble=None))
    return len(rows)


def _news(connection: sa.Connection, job_id: str, decisions: Sequence[Decision]) -> list[Decision]:
    known = latest(connection, job_id, [decision.sample_id for decision in decisions])
    holds: dict[str, tuple[str, str | None] | None] = {
        name: (review.decision, review.label) for name, review in known.items()
    }
    news = []
    for decision in decisions:
        said = None if decision.decision == "withdraw" else (decision.decision, decision.label)
        if holds.get(decision.sample_id) != said:
            holds[decision.sample_id] = said
            news.append(decision)
    return news


def latest(connection: sa.Connection, job_id: str, sample_ids: Sequence[str] | None = None) -> dict[str, Review]:
    """What holds of each reviewed sample, or of those among `sample_ids`, by sample id."""
    mine = reviews.c.job_id == job_id
    if sample_ids is None:
        return _standing(_latest(connection, mine))
    found: dict[str, Review] = {}
    for start in range(0, len(sample_ids), _CHUNK):
        found |= _latest(connection, mine & reviews.c.sample_id.in_(sample_ids[start : start + _CHUNK]))
    return _standing(found)


def last_words(connection: sa.Connection, job_id: str, source: str) -> tuple[dict[str, Review], dict[str, Review]]:
    """The last review of each sample that this source brought, and the last that any other brought; withdrawals too."""
    mine = reviews.c.job_id == job_id
    own = _latest(connection, mine & (reviews.c.source == source))
    return own, _latest(connection, mine & (reviews.c.source != source))


def _standing(found: dict[str, Review]) -> dict[str, Review]:
    return {name: review for name, review in found.items() if review.decision != "withdraw"}


def _latest(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> dict[str, Review]:
    last = sa.select(reviews.c.job_id, sa.func.max(reviews.c.seq).label("seq")).where(wanted)
    held = last.group_by(reviews.c.job_id, reviews.c.sample_id).subquery()
    rows = connection.execute(
        reviews.select().join(held, (reviews.c.job_id == held.c.job_id) & (reviews.c.seq == held.c.seq))
    ).mappings()
    return {row["sample_id"]: Review.model_validate(dict(row)) for row in rows}


def of_sample(connection: sa.Connection, job_id: str, sample_id: str) -> list[Review]:
    """Everything that was decided of one sample, oldest first."""
    wanted = (reviews.c.job_id == job_id) & (reviews.c.sample_id == sample_id)
    rows = connection.execute(reviews.select().where(wanted).order_by(reviews.c.seq)).mappings()
    return [Review.model_validate(dict(row)) for row in rows]


def page(connection: sa.Connection, job_id: str, after: int, limit: int) -> tuple[list[Review], int]:
    """Decisions after number `after`, oldest first, and how many there are in all."""
    mine = reviews.c.job_id == job_id
    total = connection.execute(sa.select(sa.func.count()).select_from(reviews).where(mine)).scalar_one()
    wanted = reviews.select().where(mine & (reviews.c.seq > after)).order_by(reviews.c.seq).limit(limit)
    return [Review.model_validate(dict(row)) for row in connection.execute(wanted).mappings()], total
