"""Estimates of a job, replaced by what its audit has measured."""

import sqlalchemy as sa

from service.actions.open_audit import open_audit
from service.audit.measure import Measured
from service.services import Services
from service.store import audits
from service.store.answers import ENOUGH_DRAWN
from service.store.jobs import Job

_LEVEL = 0.95


def with_measured_estimate(services: Services, connection: sa.Connection, job: Job) -> Job:
    """The job, its number of wrong labels measured once 30 drawn samples were reviewed; unchanged before."""
    measured = _measured(services, connection, job)
    if measured is None or measured.estimate is None or measured.drawn < ENOUGH_DRAWN or job.result is None:
        return job
    known = job.result["estimates"]["mislabeled"]
    told = {
        "status": "measured",
        "reason": None,
        "count": round(measured.estimate),
        "low": measured.low,
        "high": measured.high,
        # What the job told without reviews.
        "rule": known,
    }
    estimates = {**job.result["estimates"], "mislabeled": {**known, **told}}
    return job.model_copy(update={"result": {**job.result, "estimates": estimates}})


def _measured(services: Services, connection: sa.Connection, job: Job) -> Measured | None:
    log = None if job.result is None else services.open_audits.log(connection, job.id)
    row = audits.get(connection, job.id)
    if log is None or row is None:
        return None
    # Everything that the answer follows from: what was drawn, what holds of it, and who must have said so.
    moment = services.open_rankings.get(connection, services.blobs, job.id).standing.now(connection).moment
    key = (job.id, len(log), moment, row.confirm)
    known = services.open_audits.measured.get(key)
    if known is not None:
        return known
    # Of the labels that this job ranked: for a later job of a chain they are corrected ones.
    state = open_audit(services, connection, job, "version")
    return services.open_audits.measured.put(key, state.measured(_LEVEL))
