"""The Celery application and its tasks; `worker.app` imports it.

Nothing is read from the environment when this module is imported: Celery asks for its configuration when it starts.

The parent imports all that a job needs, and computes nothing: a parent that ran a kernel of torch would block its
children. Each child computes something first, then writes that it can take a job.
"""

import gc
import math
import multiprocessing
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog
import torch
from billiard import current_process
from celery import Celery, current_task
from celery.apps import worker as celery_worker
from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from opentelemetry.trace import SpanKind, get_tracer, set_tracer_provider

from service.domain.errors import ArtefactsUnavailable, Invalid
from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.environment import settings_or_exit
from service.logs import log_in_signal_handler, log_libraries_to_stderr, log_to_stderr
from service.settings import (
    ANY_QUEUE,
    HELP_QUEUE,
    HELP_TASK,
    JOB_TASK,
    QUESTION_TASK,
    REQUEST_HEADER,
    RESCORING_TASK,
    Settings,
    broker_options,
)
from service.store import inventory, workers
from service.store.blobs import open_blobs
from service.store.clock import database_time
from service.store.engine import open_database
from service.traces import TRACE_HEADERS, trace_of, tracer_provider
from worker.job.context import WorkerContext
from worker.job.helping import Helper
from worker.job.rescoring import claim_next_rescoring, run_rescoring
from worker.job.tasks import claim_next, run
from worker.machine.arithmetic import fix_arithmetic
from worker.machine.cores import Cores, find_cores
from worker.machine.cuda_graphs import has_failed
from worker.machine.devices import choose_device, free_unused
from worker.machine.gpu_health import still_computes
from worker.models.boosted_trees import lightgbm
from worker.process.calls import CallsBeside
from worker.process.presence import Presence, new_worker_id, process_presence, remove_ended, worker_presence
from worker.process.queues import queues_read, queues_taken
from worker.serving.answers import answer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log_to_stderr()
log = structlog.get_logger()

# Until a child is up. Celery kills it after 4 s by default, which on a busy machine is before it has begun.
_CHILD_STARTS_WITHIN_S = 120.0
_FORK_AGAIN_S = 5.0  # after a process whose GPU does not compute


@cache
def settings() -> Settings:
    """The settings of this process, read from the environment once. A process whose settings cannot be ends."""
    return settings_or_exit()


def _configuration() -> dict[str, object]:
    return {
        "broker_url": settings().broker_url,
        "broker_transport_options": broker_options(),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a broker may come back after any time
        "task_default_queue": ANY_QUEUE,
        # A message only reminds of a queued job, and the database decides: a lost or repeated message changes nothing.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": _CHILD_STARTS_WITHIN_S,
    }


app = Celery("usual-suspects")
app.add_defaults(_configuration)

# Made before the pool forks, so that the parent can tell its children that the worker is stopping.
_stopping = multiprocessing.get_context("fork").Event()
_worker_id = new_worker_id()
_presences: list[Presence] = []
_traces: "list[TracerProvider]" = []
_tidied = [-math.inf]
_helper = Helper()
_LAST = 9  # priority
_CALL_EXPIRES_S = 60.0
# Set before the pool forks.
_pool_size = 1
_queues: tuple[JobQueue, ...] = JOB_QUEUES


@cache
def worker_context() -> WorkerContext:
    """This process's database and files; opened on first use, never shared across a fork."""
    return WorkerContext(
        settings=settings(),
        # A worker that the database does not hear for so long has lost its job.
        database=open_database(settings().database, settings().lease_seconds),
        blobs=open_blobs(settings()),
        device=choose_device(settings().device, getattr(current_process(), "index", 0)),
        stopping=_stopping.is_set,
        call_helpers=CallsBeside(_call_helpers),
        queues=_queues,
    )


@cache
def cores() -> Cores:
    """The cores of this process."""
    return find_cores()


@app.task(name=JOB_TASK)
def run_job(job_id: str) -> None:
    """Do the job that is next, of those that this worker takes. The message only says that one waits: which it was sent for does not matter."""
    claim = claim_next(_new_owner(), worker_context())
    if claim is None:
        log.info("no job waits", message=job_id)
        return
    with _known_as("job", claim.job_id, named=job_id):
        _share_cores()
        run(claim, worker_context())
        _tidy()


@app.task(name=RESCORING_TASK)
def rescore_job(job_id: str) -> None:
    """Do the rescoring that is next. As with jobs, the message only says that one waits."""
    claim = claim_next_rescoring(_new_owner(), worker_context())
    if claim is None:
        log.info("no rescoring waits", message=job_id)
        return
    with _known_as("rescoring", claim.job_id, named=job_id):
        _share_cores()
        run_rescoring(claim, worker_context())


@app.task(name=QUESTION_TASK)
def answer_question(job_id: str, question: str) -> None:
    """Write the predictions of a job's model for new samples, if the answer is still wanted."""
    with _known_as("question", job_id):
        _share_cores()
        answer(job_id, question, worker_context())


@app.task(name=HELP_TASK)
def help_job(job_id: str) -> None:
    """Compute one block of a job that another worker scores, then come last in the queue again: whatever else waits goes first."""
    with _known_as("help", job_id):
        owner = _new_owner()
        if _helper.help_with(job_id, owner, worker_context()):
            _call_helpers(job_id, 1)


def _call_helpers(job_id: str, count: int) -> None:
    """Send messages, without retry. The worker of the job calls again, and does not need the help."""
    for _ in range(count):
        try:
            app.send_task(
                HELP_TASK,
                args=[job_id],
                queue=HELP_QUEUE,
                priority=_LAST,
                expires=_CALL_EXPIRES_S,
                retry=False,
                ignore_result=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever ails the broker
            log.warning("broker not reached, nobody is called to help", job=job_id, error=str(error))
            return


def _tidy() -> None:
    """Remove what is left over in the cache of this host, at most as often as the service looks for it."""
    cache, now = worker_context().blobs.cache, time.monotonic()
    if cache is None or not settings().collect_seconds or now - _tidied[-1] < settings().collect_seconds:
        return
    _tidied[:] = [now]
    try:
        with worker_context().database.read() as connection:
            before = database_time(connection) - timedelta(seconds=settings().collect_after_seconds)
            removed = inventory.tidy(connection, worker_context().blobs, before)
    except (sa.exc.SQLAlchemyError, ArtefactsUnavailable) as error:
        log.warning("leftovers on this host stay", error=str(error))
    else:
        log.info("tidied", removed=len(removed))


def _new_owner() -> str:
    """Who claims, by worker, process and attempt."""
    return f"{_worker_id}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


@contextmanager
def _known_as(task: str, job_id: str, *, named: str | None = None) -> Iterator[None]:
    """The block is a span of the trace that asked for it; each line that it logs has the ids of the job and of the request.

    Where the message is `named` after another job, its request and trace are that job's, and not used. A process whose GPU
    cannot go on ends with it.
    """
    own = named in (None, job_id)
    request = current_task.request
    headers = {name: request.get(name) for name in TRACE_HEADERS if own and request.get(name) is not None}
    request_id = request.get(REQUEST_HEADER) if own else None
    ids = {"job": job_id} if request_id is None else {"job": job_id, "request_id": request_id}
    span = get_tracer("usual_suspects").start_as_current_span(
        task, trace_of(headers), SpanKind.CONSUMER, {"suspects.job": job_id}
    )
    with span, structlog.contextvars.bound_contextvars(**ids):
        try:
            yield
        finally:
            _leave(worker_context().device)


def _take(device: torch.device) -> None:
    """Begin to use a device. Raises SystemExit where it does not compute: Celery forks another process, and no task goes to any until one can."""
    try:
        if device.type == "cuda":
            # In no parent, whose children could then use none. What torch does without a device's name is meant for this one.
            torch.cuda.set_device(device)
        computes = still_computes(device)
    except RuntimeError as error:
        log.warning("the GPU cannot be opened", error=str(error))
        computes = False
    if not computes:
        log.error("this process ends: its GPU does not compute", device=str(device))
        time.sleep(_FORK_AGAIN_S)
        raise SystemExit(1)


def _leave(device: torch.device) -> None:
    """Leave a device to other processes until the next task. Raises SystemExit where this process must not take one.

    Celery then forks another process and delivers the task again, which finds nothing to do unless its job was put back.
    """
    if has_failed(device):
        log.warning("this process ends: a recording failed on its GPU, and cannot be mended", device=str(device))
        raise SystemExit(0)
    if not still_computes(device):
        log.error("this process ends: its GPU refuses every call since an error", device=str(device))
        raise SystemExit(1)
    free_unused(device)


def _share_cores() -> None:
    """Compute with the threads of the setting, else with a fair share of the cores."""
    _helper.forget()
    threads = settings().threads
    if threads is None:
        try:
            with worker_context().database.read() as connection:
                sharing = _count_sharing(connection)
        except sa.exc.SQLAlchemyError as error:
            log.warning("the number of worker processes is not known", error=str(error))
            sharing = _pool_size
        threads = cores().share(sharing, _pool_size)
    torch.set_num_threads(threads)
    log.info("task begun", threads=threads)


def _count_sharing(connection: sa.Connection) -> int:
    now = database_time(connection)
    return workers.count_at(connection, cores().place, settings().heartbeat_seconds, now)


@setup_logging.connect
def _log(**_: object) -> None:
    # Celery's own form would be put around each line, and its lines would have no ids.
    log_libraries_to_stderr()


@celeryd_init.connect
def _prepare_parent(options: dict[str, object], **_: object) -> None:
    log_libraries_to_stderr()  # before Celery warns of anything
    celery_worker.safe_say = log_in_signal_handler  # what it prints when it is asked to end
    global _pool_size  # noqa: PLW0603 - children inherit what the parent knows
    _pool_size = int(str(options.get("concurrency") or os.cpu_count() or 1))
    with suppress(Invalid):  # without OpenMP, jobs of other models can still be done
        lightgbm()
    # Nothing that was imported is ever garbage: neither this process nor its children look through it again, which would also
    # make each child copy the memory that it shares with its parent.
    gc.freeze()


@celeryd_after_setup.connect
def _choose_queues(**_: object) -> None:
    """Read more queues than the worker was started with, for services and commands of earlier versions."""
    global _queues  # noqa: PLW0603 - children inherit what the parent knows
    asked = list(app.amqp.queues.consume_from)
    _queues = queues_taken(asked)
    app.amqp.queues.select(queues_read(asked))


@worker_process_init.connect
def _prepare_process(**_: object) -> None:
    _presences.clear()  # those of the parent
    # Before any computation: torch sizes its thread pools at the first one.
    torch.set_num_threads(settings().threads or cores().share(_pool_size, _pool_size))
    fix_arithmetic(gpu=settings().device != "cpu" and torch.cuda.is_available())
    # A process that cannot compute hangs here and is replaced; one that lacks its device or its files raises. Neither is
    # counted as ready.
    torch.ones(256, 256).mm(torch.ones(256, 256)).sum().item()
    _take(worker_context().device)
    traces = tracer_provider("usual-suspects-worker")
    if traces is not None:
        set_tracer_provider(traces)
        _traces.append(traces)
    seconds, ready_file = settings().heartbeat_seconds, settings().ready_file
    _presences[:] = [process_presence(_worker_id, cores().place, settings().database, seconds, ready_file)]
    _import_beside()


def _import_beside() -> Thread:
    """Import what only the forests of tables need. It takes a second, in which this process can take a job already."""
    thread = Thread(target=import_module, args=["sklearn.ensemble"], daemon=True)
    thread.start()
    return thread


@worker_process_shutdown.connect
def _end_process(**_: object) -> None:
    for presence in _presences:
        presence.end(lambda connection: workers.remove_process(connection, f"{_worker_id}/{os.getpid()}"))
    for traces in _traces:
        traces.shutdown()  # it sends what it holds


@worker_ready.connect
def _sign_in(**_: object) -> None:
    database = open_database(settings().database)
    try:
        with database.write() as connection:
            remove_ended(connection)
    except sa.exc.SQLAlchemyError as error:
        log.warning("workers that have ended are still listed", error=str(error))
    database.close()
    _presences.append(worker_presence(_worker_id, _queues, settings().database, settings().heartbeat_seconds))


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    _stopping.set()


@worker_shutdown.connect
def _sign_out(**_: object) -> None:
    for presence in _presences:
        presence.end(lambda connection: workers.remove(connection, _worker_id))
