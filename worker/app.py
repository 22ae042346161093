"""The Celery application: `celery --app worker.app worker --queues questions,jobs`.

Nothing is read from the environment when this module is imported: Celery asks for its configuration when it starts.
"""

import multiprocessing
import os
import socket
import threading
import uuid
from datetime import UTC, datetime
from functools import cache

import structlog
import torch
from billiard import current_process
from celery import Celery
from celery.signals import worker_process_init, worker_ready, worker_shutdown, worker_shutting_down

from service.logs import log_to_stderr
from service.settings import JOB_QUEUE, JOB_TASK, QUESTION_TASK, Settings, broker_options
from service.store import workers
from service.store.blobs import Blobs
from service.store.engine import open_database
from worker.devices import choose_device
from worker.job.context import WorkerContext
from worker.job.tasks import run
from worker.serving.answers import answer

log_to_stderr()
log = structlog.get_logger()


@cache
def settings() -> Settings:
    """The settings of this process, read from the environment once."""
    return Settings()


def _configuration() -> dict[str, object]:
    return {
        "broker_url": settings().broker_url,
        "broker_transport_options": broker_options(),
        "broker_connection_retry_on_startup": True,
        "task_default_queue": JOB_QUEUE,
        # A message only reminds of a queued job, and the database decides: a lost or repeated message changes nothing.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
    }


app = Celery("usual-suspects")
app.add_defaults(_configuration)

# Made before the pool forks, so that the parent can tell its children that the worker is stopping.
_stopping = multiprocessing.get_context("fork").Event()
_signed_out = threading.Event()
_worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@cache
def worker_context() -> WorkerContext:
    """This process's database and files; opened on first use, never shared across a fork."""
    return WorkerContext(
        settings=settings(),
        database=open_database(settings().database),
        blobs=Blobs(settings().home),
        device=choose_device(settings().device, getattr(current_process(), "index", 0)),
        stopping=_stopping.is_set,
    )


@app.task(name=JOB_TASK)
def run_job(job_id: str) -> None:
    """Do a job, if it is still queued."""
    run(job_id, owner=f"{_worker_id}/{os.getpid()}/{uuid.uuid4().hex[:8]}", context=worker_context())


@app.task(name=QUESTION_TASK)
def answer_question(job_id: str, question: str) -> None:
    """Write the predictions of a job's model for new samples, if the answer is still wanted."""
    answer(job_id, question, worker_context())


@worker_process_init.connect
def _prepare_process(**_: object) -> None:
    # Before any computation: torch sizes its thread pools at the first one, and a parent that computed would block its children.
    torch.set_num_threads(settings().threads or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA's products need to be the same each time
    # A GPU lacks deterministic forms of some operations: there it is asked for them, and may do without.
    torch.use_deterministic_algorithms(True, warn_only=settings().device != "cpu" and torch.cuda.is_available())


@worker_ready.connect
def _sign_in(**_: object) -> None:
    threading.Thread(target=_keep_signed_in, name="sign-in", daemon=True).start()


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    _stopping.set()


@worker_shutdown.connect
def _sign_out(**_: object) -> None:
    _signed_out.set()
    database = open_database(settings().database)
    with database.write() as connection:
        workers.remove(connection, _worker_id)
    database.close()


def _keep_signed_in() -> None:
    database = open_database(settings().database)
    while not _signed_out.is_set():
        try:
            with database.write() as connection:
                workers.record_heartbeat(connection, _worker_id, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - a worker must survive every fault of its database
            log.warning("cannot sign in", error=str(error))
        _signed_out.wait(settings().heartbeat_seconds)
    database.close()
