"""Reviews: what people decided about the samples of a job. Reviews are only added, never changed.

The latest review of a sample holds, unless it is a withdrawal. It holds for every job of the chain, also when it was given to
a job that has been rerun since. Reviews of samples in which a job planted an error hold for that job alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.domain.review import BulkDecision, Decision, Review
from service.store import chains, rankings
from service.store.tables import UTCDateTime, jobs, loops, reviews, suspects

_CHUNK = 1_000  # ids in one statement


def add(
    connection: sa.Connection,
    job_id: str,
    decisions: Sequence[Decision],
    source: str,
    now: datetime,
    *,
    given: Mapping[str, str] | None = None,
    batch: str | None = None,
    skip_unchanged: bool = False,
) -> int:
    """Append decisions in order, and give how many were written. The caller has checked samples and labels.

    `given` has the labels of samples that the job has not ranked, by id. With `skip_unchanged` decisions that hold already are
    left out, so that reading a labelling tool twice writes nothing the second time.
    """
    chain = lock_chain(connection, job_id)
    called = _called(connection, job_id, decisions, given or {})
    if skip_unchanged:
        decisions = _news(connection, job_id, decisions, called)
    common = {"source": source, "batch": batch, "created_at": now}
    _append(
        connection,
        chain,
        job_id,
        [{**common, **decision.model_dump(), "given_label": called.get(decision.sample_id)} for decision in decisions],
    )
    return len(decisions)


def add_bulk(
    connection: sa.Connection,
    job_id: str,
    index: Sequence[int],
    decision: BulkDecision,
    source: str,
    batch: str,
    now: datetime,
) -> None:
    """Append the same decision on many ranked samples, by their places in the upload.

    To relabel without a label is to relabel each to the label suggested for it.
    """
    chain = lock_chain(connection, job_id)
    label = suspects.c.suggested_label if decision.decision == "relabel" and decision.label is None else None
    last = last_number(connection, job_id)
    # The database copies ids and labels itself, which is several times as fast as reading and writing them.
    for start in range(0, len(index), _CHUNK):
        wanted = (suspects.c.job_id == job_id) & suspects.c.index.in_(index[start : start + _CHUNK])
        row: dict[str, Any] = {
            "job_id": suspects.c.job_id,
            "seq": sa.literal(last + start) + sa.func.row_number().over(order_by=suspects.c.index),
            "sample_id": suspects.c.sample_id,
            "decision": sa.literal(decision.decision),
            "label": sa.literal(decision.label, sa.String) if label is None else label,
            "given_label": suspects.c.given_label,
            "source": sa.literal(source),
            "reviewer": sa.literal(decision.reviewer, sa.String),
            "batch": sa.literal(batch),
            "created_at": sa.literal(now, UTCDateTime),
        }
        connection.execute(reviews.insert().from_select(list(row), sa.select(*row.values()).where(wanted)))
    _reviewed(connection, chain)


def undo(
    connection: sa.Connection, job_id: str, batch: str, new_batch: str, now: datetime, reviewer: str | None = None
) -> tuple[int, int]:
    """Append what held before a batch of the job, and give of how many samples, and how many are left as they are.

    `reviewer` withdraws where nothing held before. A sample that was decided again since is left: in this job, or in another of its chain.
    """
    chain = lock_chain(connection, job_id)
    mine = (reviews.c.job_id == job_id) & (reviews.c.batch == batch)
    wanted = counting_for(job_id, chain) & reviews.c.sample_id.in_(sa.select(reviews.c.sample_id).where(mine))
    fields = ("sample_id", "batch", "decision", "label", "given_label", "source", "reviewer")
    place = sa.case({name: place for place, name in enumerate(chain)}, value=reviews.c.job_id)
    told = connection.execute(
        sa.select(*(reviews.c[name] for name in fields))
        .where(wanted)
        .order_by(reviews.c.created_at, place, reviews.c.seq)
    )
    last: dict[str, sa.Row[Any]] = {}
    before: dict[str, sa.Row[Any]] = {}
    for row in told:
        last[row[0]] = row
        if row[1] != batch:
            before[row[0]] = row
    restored = []
    for name, newest in last.items():
        if newest.batch == batch:
            earlier = before.get(name)
            what = newest if earlier is None else earlier
            nothing = {"decision": "withdraw", "label": None, "reviewer": reviewer} if earlier is None else {}
            restored.append({**dict(zip(fields, what, strict=True)), **nothing, "batch": new_batch, "created_at": now})
    _append(connection, chain, job_id, restored)
    return len(restored), len(last) - len(restored)


def count_batch(connection: sa.Connection, job_id: str, batch: str) -> int:
    """How many decisions of the job are of this batch."""
    mine = (reviews.c.job_id == job_id) & (reviews.c.batch == batch)
    return connection.execute(sa.select(sa.func.count()).select_from(reviews).where(mine)).scalar_one()


def _append(connection: sa.Connection, chain: Sequence[str], job_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of a job whose chain is locked, numbered on."""
    if not rows:
        return
    last = last_number(connection, job_id)
    numbered = [{**row, "job_id": job_id, "seq": seq} for seq, row in enumerate(rows, last + 1)]
    connection.execute(reviews.insert(), numbered)
    _reviewed(connection, chain)


def _reviewed(connection: sa.Connection, chain: Sequence[str]) -> None:
    # A review may remove the reason why the newest job could not be rerun.
    connection.execute(loops.update().where(loops.c.job_id.in_(chain)).values(trouble=None))


def lock_chain(connection: sa.Connection, job_id: str) -> list[str]:
    """Lock the reviews of a chain until the transaction ends, and give the ids of its jobs, the oldest first.

    Without the lock, two writers could draw the same number, or not see each other's reviews.
    """
    chain = chains.job_ids(connection, job_id)
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(chain)).order_by(jobs.c.id).with_for_update())
    return chain


def _called(
    connection: sa.Connection, job_id: str, decisions: Sequence[Decision], given: Mapping[str, str]
) -> dict[str, str]:
    ids = [decision.sample_id for decision in decisions if decision.sample_id not in given]
    return {**given, **rankings.given_labels(connection, job_id, ids)}


def _news(
    connection: sa.Connection, job_id: str, decisions: Sequence[Decision], called: Mapping[str, str]
) -> list[Decision]:
    known = latest(connection, job_id, [decision.sample_id for decision in decisions])
    holds: dict[str, tuple[str, str | None] | None] = {}
    for name, review in known.items():
        word = review.about(called[name]) if name in called else review
        holds[name] = (word.decision, word.label)
    news = []
    for decision in decisions:
        decided = None if decision.decision == "withdraw" else (decision.decision, decision.label)
        if holds.get(decision.sample_id) != decided:
            holds[decision.sample_id] = decided
            news.append(decision)
    return news


def latest(connection: sa.Connection, job_id: str, sample_ids: Sequence[str] | None = None) -> dict[str, Review]:
    """The review that holds for each reviewed sample, or for those among `sample_ids`, by sample id.

    Reviews of all jobs of the chain count, in their own words; `Review.about` restates them for this job. The job need not
    have every sample.
    """
    chain = chains.job_ids(connection, job_id)
    wanted = counting_for(job_id, chain)
    if sample_ids is None:
        return _standing(_newest(_last(connection, wanted), chain))
    found: dict[str, Review] = {}
    for start in range(0, len(sample_ids), _CHUNK):
        some = wanted & reviews.c.sample_id.in_(sample_ids[start : start + _CHUNK])
        found |= _newest(_last(connection, some), chain)
    return _standing(found)


def latest_by_source(connection: sa.Connection, job_id: str) -> list[Review]:
    """The latest review of each sample by each source in each job of the chain, the oldest first; withdrawals included."""
    chain = chains.job_ids(connection, job_id)
    return _ordered(_last(connection, counting_for(job_id, chain), reviews.c.source), chain)


def latest_by_reviewer(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> list[Review]:
    """What each person said last of each of these samples in the jobs of the chain; withdrawals are left out.

    Reviews without a reviewer count as those of one person.
    """
    chain = chains.job_ids(connection, job_id)
    found: list[Review] = []
    for start in range(0, len(sample_ids), _CHUNK):
        some = counting_for(job_id, chain) & reviews.c.sample_id.in_(sample_ids[start : start + _CHUNK])
        found += _last(connection, some, reviews.c.reviewer)
    last = {(review.sample_id, review.reviewer): review for review in _ordered(found, chain)}
    return [review for review in last.values() if review.decision != "withdraw"]


def latest_of_dataset(connection: sa.Connection, dataset_id: str) -> dict[str, Review]:
    """The latest review of each sample in the chains of all jobs over a dataset, by sample; withdrawals included.

    Reviews of jobs with planted errors do not count, because people did not see the dataset as it is.
    """
    over = connection.execute(sa.select(jobs.c.id).where(jobs.c.dataset_id == dataset_id)).scalars().all()
    chained = dict.fromkeys(each for job_id in over for each in chains.job_ids(connection, job_id))
    plain = [
        row.id
        for row in connection.execute(sa.select(jobs.c.id, jobs.c.spec).where(jobs.c.id.in_(list(chained))))
        if not row.spec.get("glitches")
    ]
    return _newest(_last(connection, reviews.c.job_id.in_(plain)), list(chained))


def last_number(connection: sa.Connection, job_id: str) -> int:
    """The number of the latest review in the list of a job; 0 where there is none."""
    last = sa.select(sa.func.max(reviews.c.seq)).where(reviews.c.job_id == job_id)
    return connection.execute(last).scalar_one() or 0


def counting_for(job_id: str, chain: Sequence[str]) -> sa.ColumnElement[bool]:
    """Which reviews count for a job: its own, and those of its chain on samples in which no job planted an error."""
    own = reviews.c.job_id == job_id
    if len(chain) == 1:
        return own
    return own | (reviews.c.job_id.in_(chain) & ~_planted(reviews.c.job_id) & ~_planted(sa.literal(job_id)))


def _planted(job_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a job planted an error in the sample."""
    # A name of its own, for statements that read the table of suspects too.
    own = suspects.alias("planted")
    mine = (own.c.job_id == job_id) & (own.c.sample_id == reviews.c.sample_id)
    return sa.exists().where(mine, own.c.planted_kind.is_not(None))


def _standing(found: dict[str, Review]) -> dict[str, Review]:
    return {name: review for name, review in found.items() if review.decision != "withdraw"}


def _newest(found: Iterable[Review], chain: Sequence[str]) -> dict[str, Review]:
    return {review.sample_id: review for review in _ordered(found, chain)}


def _ordered(found: Iterable[Review], chain: Sequence[str]) -> list[Review]:
    places = {job_id: place for place, job_id in enumerate(chain)}
    return sorted(found, key=lambda one: (one.created_at, places[one.job], one.seq))


def _last(connection: sa.Connection, wanted: sa.ColumnElement[bool], *apart: sa.ColumnElement[Any]) -> list[Review]:
    """The latest review of each sample in each job, for each value of the columns `apart`."""
    last = sa.select(reviews.c.job_id, sa.func.max(reviews.c.seq).label("seq")).where(wanted)
    held = last.group_by(reviews.c.job_id, reviews.c.sample_id, *apart).subquery()
    rows = connection.execute(
        reviews.select().join(held, (reviews.c.job_id == held.c.job_id) & (reviews.c.seq == held.c.seq))
    ).mappings()
    return [_review(row) for row in rows]


def page(
    connection: sa.Connection, job_id: str, after: int, limit: int, sample_id: str | None = None
) -> tuple[list[Review], int]:
    """Decisions that were given to this job after number `after`, oldest first, and how many there are in all.

    With `sample_id` only those about this sample.
    """
    mine = reviews.c.job_id == job_id
    if sample_id is not None:
        mine &= reviews.c.sample_id == sample_id
    total = connection.execute(sa.select(sa.func.count()).select_from(reviews).where(mine)).scalar_one()
    wanted = reviews.select().where(mine & (reviews.c.seq > after)).order_by(reviews.c.seq).limit(limit)
    return [_review(row) for row in connection.execute(wanted).mappings()], total


def _review(row: sa.RowMapping) -> Review:
    return Review.model_validate({**row, "job": row["job_id"]})
