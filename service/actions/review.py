"""Reviews: what people decided of the samples of a job, recorded all at once or not at all."""

from collections.abc import Sequence

import sqlalchemy as sa

from service.actions.find import find_dataset_of_job
from service.actions.once import create_once, made_before
from service.domain.errors import Conflict, FieldError, invalid_fields
from service.domain.review import Decision
from service.ingest.identities import labels_of
from service.services import Services
from service.store import rankings, reviews
from service.store.idempotency import IdempotentRequest
from service.store.jobs import Job

_SOURCE = "api"
_LISTED = 20


def review(services: Services, job: Job, decisions: Sequence[Decision], once: IdempotentRequest) -> None:
    """Append decisions on samples of a completed job, in their order; a request that is repeated appends nothing.

    Raises Invalid naming places in the list, the first twenty of them, and Conflict when the job was deleted meanwhile.
    """
    held_out = _checked(services, job, decisions)
    if made_before(services, once) is not None:
        return
    now = services.now()

    def write(connection: sa.Connection) -> None:
        reviews.add(connection, job.id, decisions, _SOURCE, now, given=held_out)

    try:
        create_once(services, once, job.id, write)
    except sa.exc.IntegrityError as error:
        raise Conflict("the job was deleted in the meantime", members={"state": "deleted"}) from error


def count_reviewed(services: Services, job: Job) -> int:
    """How many samples of a job have a decision that holds, those that its chain decided included."""
    with services.database.read() as connection:
        held = reviews.latest(connection, job.id)
        ranked = rankings.ranked_ids(connection, job.id, list(held))
    return sum(name in ranked or one.job == job.id for name, one in held.items())


def shortened(found: Sequence[FieldError]) -> list[FieldError]:
    """The first twenty faults, and how many more there are."""
    more = len(found) - _LISTED
    return [*found[:_LISTED], *([FieldError(loc=[], msg=f"and {more} more faults")] if more > 0 else [])]


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
