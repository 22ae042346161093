"""Reads the tasks of waiting jobs out of Label Studio into datasets, then puts the jobs into the queue.

Whoever pulls holds the job's claim meanwhile, as a worker does while it computes: the lease is renewed, the progress
shown, a cancelled job noticed, and what a service that died left behind is begun again.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from service.actions.verified import next_reference
from service.domain.dataset import DatasetInfo
from service.domain.errors import FieldError, Invalid, SuspectsError
from service.domain.job import JobError, Progress, State
from service.domain.specs import Reference
from service.ingest.identities import missing_ids
from service.label_studio.projects import connect
from service.label_studio.pull.gather import Gathered, gather
from service.outbound.secrets import Vault
from service.queue import Queue
from service.settings import Settings
from service.store import datasets, jobs, loops, pulls
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import Claim, Job, LeaseLost
from service.store.pulls import Pull

log = structlog.get_logger()

_SHARE = 0.05  # of a whole job, the worker's own measure for preparing


def pull_due(
    database: Database, blobs: Blobs, queue: Queue, settings: Settings, vault: Vault, clock: Callable[[], datetime]
) -> int:
    """Look once; gives how many pulls were tried. Two services at once pull each job once."""
    with database.read() as connection:
        due = pulls.due(connection, clock())
    for one in due:
        _Puller(database, blobs, queue, settings, vault, clock).pull(one)
    return len(due)


@dataclass(frozen=True)
class _Read:
    """What was pulled: in place of which dataset, and on which samples the job is measured."""

    placeholder: DatasetInfo
    gathered: Gathered
    reference: Reference | None


class _Puller:
    """One look's surroundings."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        queue: Queue,
        settings: Settings,
        vault: Vault,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._blobs, self._queue = database, blobs, queue
        self._settings, self._vault, self._clock = settings, vault, clock
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._progress = Progress(phase=State.PREPARING, detail="pulling tasks")

    def pull(self, one: Pull) -> None:
        """From claim to queue; returns quietly when it is not ours to do."""
        owner = f"pull-{secrets.token_hex(8)}"
        with self._database.write() as connection:
            held = jobs.claim(connection, one.job_id, owner, self._lease, self._clock(), to_pull=True)
            job = jobs.get(connection, one.job_id)
        if held is None or job is None:
            return
        log.info("pulling", job=one.job_id, project=one.project)
        try:
            with self._heart(held):
                read = self._read(one, job)
                try:
                    self._settle(held, job, read)
                except sa.exc.IntegrityError:
                    self._settle(held, job, read)  # another job has just pulled the same tasks; now they are there
        except LeaseLost:
            log.info("job taken away", job=one.job_id)
            return
        except SuspectsError as error:
            log.warning("pull failed", job=one.job_id, error=error.detail)
            self._fail(held, JobError(code=error.code, detail=error.detail))
            return
        except sa.exc.OperationalError:
            raise  # the database is away; the lease runs out and the pull is begun again
        except Exception as error:
            log.exception("pull failed", job=one.job_id)
            detail = f"pulling: {type(error).__name__}; the service's log has the details"
            self._fail(held, JobError(code="internal", detail=detail))
            return
        self._queue.wake(one.job_id, job.priority)

    def _read(self, one: Pull, job: Job) -> _Read:
        with self._database.read() as connection:
            known = datasets.get(connection, job.dataset_id)
        source, origin = job.spec.source, self._blobs.origin(job.id)
        if known is None or source is None:
            raise LeaseLost(job.id)
        with connect(self._database, self._settings, self._vault, one.connection_id) as client:
            gathered = gather(client, source, known, self._blobs, self._settings, self._tell, origin)
        return _Read(known, gathered, self._reference(job, known.id))

    def _reference(self, job: Job, dataset_id: str) -> Reference | None:
        """On which samples it is measured. Raises Invalid for ones that are not there, unless they once were."""
        reference = job.spec.reference
        with self._database.read() as connection:
            if loops.is_rerun(connection, job.id):
                return next_reference(connection, self._blobs, job.spec, dataset_id)
        if reference is not None and reference.samples is not None:
            unknown = missing_ids(self._blobs.canonical(dataset_id), reference.samples)
            if unknown:
                msg = f"no task {unknown[0]!r} among the labelled ones ({len(unknown)} of these are not)"
                raise Invalid(f"reference.samples: {msg}", errors=[FieldError(loc=["reference", "samples"], msg=msg)])
        return reference

    def _settle(self, held: Claim, job: Job, read: _Read) -> None:
        placeholder, gathered = read.placeholder, read.gathered
        with self._database.write() as connection:
            known = datasets.by_digest(connection, gathered.info.digest)
            if known is None:
                datasets.update(connection, gathered.info)
            jobs.queue_pulled(connection, held, (known or placeholder).id, read.reference, self._clock())
            if known is not None and known.id != placeholder.id:
                datasets.remove(connection, placeholder.id)
        if known is not None and known.id != placeholder.id:
            self._blobs.remove(self._blobs.dataset(placeholder.id))
        log.info("pulled", job=job.id, rows=gathered.info.rows, skipped=gathered.info.skipped_rows)

    def _tell(self, detail: str, share: float) -> None:
        """Note how far it is; raises LeaseLost once the job was cancelled or taken over."""
        self._progress = Progress(fraction=_SHARE * share, phase=State.PREPARING, detail=detail)
        if self._lost.is_set():
            raise LeaseLost(detail)

    @contextmanager
    def _heart(self, held: Claim) -> Iterator[None]:
        over, self._lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not over.wait(min(self._settings.heartbeat_seconds, 1.0)):
                try:
                    with self._database.write() as connection:
                        jobs.renew(connection, held, self._progress, self._lease, self._clock())
                except LeaseLost:
                    self._lost.set()
                    return
                except sa.exc.SQLAlchemyError as error:
                    log.warning("heartbeat missed", job=held.job_id, error=str(error))

        thread = threading.Thread(target=beat, name=f"heart-{held.job_id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _fail(self, held: Claim, error: JobError) -> None:
        try:
            with self._database.write() as connection:
                jobs.fail(connection, held, error, self._clock())
        except LeaseLost:
            log.info("job taken away", job=held.job_id)
