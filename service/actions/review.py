"""Reviews: what people decided of the samples of a job, recorded all at once or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from service.actions.find import check_class, check_signal, find_dataset_of_job
from service.actions.once import create_once, made_before
from service.actions.select_suspects import SuspectQuery, select
from service.domain.errors import Conflict, FieldError, invalid, invalid_fields
from service.domain.ids import new_id
from service.domain.review import BulkReview, Decision, UndoRequest
from service.domain.spreadsheet import meant
from service.ingest.identities import labels_of
from service.services import Services
from service.store import rankings, reviews
from service.store.idempotency import IdempotentRequest
from service.store.jobs import Job

_SOURCE = "api"
_LISTED = 20


def review(services: Services, job: Job, decisions: Sequence[Decision], once: IdempotentRequest) -> str:
    """Append decisions on samples of a completed job, in their order; a request that is repeated appends nothing.

    Gives the batch by which they can be undone.

    Raises Invalid naming places in the list, the first twenty of them, and Conflict when the job was deleted meanwhile.
    """
    decisions = _as_meant(services, job, decisions)
    held_out = _checked(services, job, decisions)
    known = made_before(services, once)
    if known is not None:
        return known
    batch, now = new_id("batch_"), services.now()

    def write(connection: sa.Connection) -> None:
        reviews.add(connection, job.id, decisions, _SOURCE, now, given=held_out, batch=batch)

    return _written(services, once, batch, write)


@dataclass(frozen=True)
class Bulk:
    """How many samples a decision on many was about, how many decisions were written, and their batch."""

    matched: int
    written: int
    batch: str | None


def review_bulk(services: Services, job: Job, request: BulkReview, once: IdempotentRequest) -> Bulk:
    """Decide on every ranked sample that a filter matches; a request that is repeated appends nothing.

    To relabel without a label is to accept suggestions: samples whose suggested label is the given one have none.
    Raises Invalid and Conflict as `review`.
    """
    query = _query_of(services, job, request)
    known = made_before(services, once)
    if known is not None:
        with services.database.read() as connection:
            count = reviews.count_batch(connection, job.id, known)
        return Bulk(count, count, known)
    with services.database.read() as connection:
        index = select(services, connection, job, query).index
    if request.dry_run or not index:
        return Bulk(len(index), 0, None)
    batch, now = new_id("batch_"), services.now()

    def write(connection: sa.Connection) -> None:
        reviews.add_bulk(connection, job.id, index, request, _SOURCE, batch, now)

    return Bulk(len(index), len(index), _written(services, once, batch, write))


def _query_of(services: Services, job: Job, request: BulkReview) -> SuspectQuery:
    info, asked = find_dataset_of_job(services, job), request.filter
    check_signal(job, asked.by, "filter", "by")
    check_class(info, asked.label, "filter", "label")
    check_class(info, asked.suggested, "filter", "suggested")
    check_class(info, request.label, "label")
    query = SuspectQuery(**asked.model_dump(exclude={"q"}), search=asked.q or None)
    if request.decision == "relabel" and request.label is None:
        # Of the samples whose suggested label is the given one, none is asked to change.
        if query.disagrees is False:
            raise invalid(["filter", "disagrees"], "false leaves no sample with a suggestion to accept")
        query = replace(query, disagrees=True)
    return query


@dataclass(frozen=True)
class Undone:
    """Of how many samples a batch was undone, how many had been decided again since, and the batch of the undoing."""

    restored: int
    left: int
    batch: str | None


def undo_reviews(services: Services, job: Job, request: UndoRequest) -> Undone:
    """Let hold again what held before a batch of decisions. Raises Invalid where the job has no such batch."""
    new, batch = new_id("batch_"), request.batch
    with services.database.write() as connection:
        if not reviews.count_batch(connection, job.id, batch):
            raise invalid(["batch"], f"no batch {batch!r} in the reviews of this job")
        restored, left = reviews.undo(connection, job.id, batch, new, services.now(), request.reviewer)
    return Undone(restored, left, new if restored else None)


def _written(services: Services, once: IdempotentRequest, batch: str, write: Callable[[sa.Connection], object]) -> str:
    try:
        return create_once(services, once, batch, write)
    except sa.exc.IntegrityError as error:
        raise Conflict("the job was deleted in the meantime", members={"state": "deleted"}) from error


def count_reviewed(services: Services, job: Job) -> int:
    """How many samples of a job have a decision that holds: ranked ones, wherever it was given, and those that it was given of others."""
    with services.database.read() as connection:
        held = services.open_rankings.get(connection, services.blobs, job.id).standing.now(connection)
    return int((held.decisions >= 0).sum()) + held.held_out


def shortened(found: Sequence[FieldError]) -> list[FieldError]:
    """The first twenty faults, and how many more there are."""
    more = len(found) - _LISTED
    return [*found[:_LISTED], *([FieldError(loc=[], msg=f"and {more} more faults")] if more > 0 else [])]


def _as_meant(services: Services, job: Job, decisions: Sequence[Decision]) -> Sequence[Decision]:
    """Decisions of a CSV file of our own: an id or a class that is unknown, but known without the apostrophe for spreadsheets, is that."""
    quoted = {one.sample_id for one in decisions if meant(one.sample_id) != one.sample_id}
    names = {*quoted, *map(meant, quoted)}
    info = find_dataset_of_job(services, job)
    with services.database.read() as connection:
        known = set(rankings.ranked_ids(connection, job.id, list(names))) if names else set()
    if absent := names - known:
        known |= labels_of(services.blobs.canonical(info.id), ids=absent).keys()
    classes = frozenset(info.classes)

    def restored(one: Decision) -> Decision:
        label = one.label if one.label is None or one.label in classes else meant(one.label)
        sample_id = one.sample_id if one.sample_id in known else meant(one.sample_id)
        changes: dict[str, str | None] = {}
        if label in classes and label != one.label:
            changes["label"] = label
        if sample_id in known and sample_id != one.sample_id:
            changes["sample_id"] = sample_id
        return one.model_copy(update=changes) if changes else one

    return [restored(one) for one in decisions]


def _checked(services: Services, job: Job, decisions: Sequence[Decision]) -> dict[str, str]:
    """The classes of those samples that were held out of the ranking, by id. Raises Invalid."""
    info, ids = find_dataset_of_job(services, job), [decision.sample_id for decision in decisions]
    with services.database.read() as connection:
        ranked = rankings.ranked_ids(connection, job.id, ids)
    # Those that were held out of the ranking are in the dataset alone, whose ids take longer to read.
    absent = {name for name in ids if name not in ranked}
    held_out = labels_of(services.blobs.canonical(info.id), ids=absent) if absent else {}
    unknown = absent - held_out.keys()
    found = []
    for place, decision in enumerate(decisions):
        if decision.sample_id in unknown:
            msg = f"no sample {decision.sample_id!r} in the dataset of this job"
            found.append(FieldError(loc=[place, "sample_id"], msg=msg))
        if decision.label is not None and decision.label not in info.classes:
            classes = ", ".join(info.classes[:_LISTED])
            found.append(FieldError(loc=[place, "label"], msg=f"no class {decision.label!r}; one of {classes}"))
    if found:
        raise invalid_fields(shortened(found))
    return held_out
