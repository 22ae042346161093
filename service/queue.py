"""Queue of jobs, as the service uses it. No result depends on a message.

The database has the state of jobs. A message that is lost, late or repeated changes nothing: the sweep sends it again,
and a worker claims the job in the database before it computes.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any, Protocol

import redis
import structlog
from celery import Celery

from service.domain.job_queue import JOB_QUEUES
from service.settings import (
    ANY_QUEUE,
    JOB_TASK,
    QUESTION_QUEUE,
    QUESTION_TASK,
    REQUEST_HEADER,
    RESCORING_TASK,
    Settings,
    broker_options,
)
from service.traces import with_trace

log = structlog.get_logger()
_FIRST = 9
_TIMEOUT_S = 1.0  # seconds for a broker that does not answer


def _lists(queues: Iterable[str]) -> list[str]:
    # Redis has one list a priority; Kombu puts the priority behind two control characters.
    return [name for one in queues for name in (one, *(f"{one}\x06\x16{step}" for step in range(1, _FIRST + 1)))]


def _job_of(message: bytes) -> str | None:
    """The job that a message is about, which is the only argument of its task; None for a message that is not ours."""
    try:
        return str(json.loads(base64.b64decode(json.loads(message)["body"]))[0][0])
    except (ValueError, LookupError, TypeError):
        return None


class Queue(Protocol):
    """The part of a queue that the service uses."""

    def wake(self, job_id: str, priority: int, queue: str) -> bool:
        """Tell the workers of a queue that a job waits. Returns False when the broker cannot be reached; raises nothing."""

    def wake_rescoring(self, job_id: str, priority: int, queue: str = "cpu") -> bool:
        """Tell the workers of a queue that a rescoring of a job waits. Returns as `wake`."""

    def ask(self, job_id: str, question: str, seconds: float) -> bool:
        """Ask the workers for predictions of a job's model; the message expires after `seconds`. Returns as `wake`."""

    def depth(self) -> int | None:
        """Number of waiting messages about jobs; None when the broker cannot be reached."""

    def waiting(self, queues: Iterable[str] = JOB_QUEUES) -> set[str] | None:
        """Ids of the jobs whose messages in these queues no worker has taken yet; None when the broker cannot be reached."""

    def close(self) -> None:
        """Close the connections."""


class CeleryQueue:
    """Queue of Celery on Redis or Valkey. Tasks are named, because the service does not import the worker."""

    def __init__(self, settings: Settings) -> None:
        self._celery = Celery("usual-suspects-api", broker=settings.broker_url, set_as_current=False)
        self._celery.conf.update(
            broker_transport_options={
                **broker_options(),
                "socket_connect_timeout": _TIMEOUT_S,
                "socket_timeout": _TIMEOUT_S,
                "max_retries": 0,
            },
            broker_connection_timeout=_TIMEOUT_S,
            task_ignore_result=True,
        )
        self._redis = redis.Redis.from_url(
            settings.broker_url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S, retry=None
        )

    def wake(self, job_id: str, priority: int, queue: str) -> bool:
        """Send one message, without retry. Priority 9 of the API (first) is 0 of the broker."""
        sent = self._send(JOB_TASK, [job_id], queue=queue, priority=_FIRST - priority)
        if not sent:
            log.warning("the sweep will send the message again", job=job_id)
        return sent

    def wake_rescoring(self, job_id: str, priority: int, queue: str = "cpu") -> bool:
        """Send one message, without retry."""
        return self._send(RESCORING_TASK, [job_id], queue=queue, priority=_FIRST - priority)

    def ask(self, job_id: str, question: str, seconds: float) -> bool:
        """Send one message, which expires."""
        return self._send(QUESTION_TASK, [job_id, question], queue=QUESTION_QUEUE, priority=0, expires=seconds)

    def _send(self, task: str, arguments: list[str], **options: Any) -> bool:
        try:
            # The worker's lines about the job then have the id of the request that asked for it.
            request_id = structlog.contextvars.get_contextvars().get("request_id")
            headers = {} if request_id is None else {REQUEST_HEADER: request_id}
            self._celery.send_task(
                task, args=arguments, retry=False, ignore_result=True, headers=with_trace(headers), **options
            )
        except Exception as error:  # noqa: BLE001 - whatever ails the broker, what must be done is in the ledger
            log.warning("broker not reached", task=task, error=str(error))
            return False
        return True

    def depth(self) -> int | None:
        """Messages of all priorities that no worker has taken yet."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for name in _lists((*JOB_QUEUES, ANY_QUEUE)):
                    pipe.llen(name)
                return int(sum(pipe.execute()))
        except redis.RedisError as error:
            log.debug("broker not reached", error=str(error))
            return None

    def waiting(self, queues: Iterable[str] = JOB_QUEUES) -> set[str] | None:
        """Read the messages of all priorities."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for name in _lists(queues):
                    pipe.lrange(name, 0, -1)
                found = {_job_of(message) for messages in pipe.execute() for message in messages}
        except redis.RedisError as error:
            log.debug("broker not reached", error=str(error))
            return None
        return {job_id for job_id in found if job_id is not None}

    def close(self) -> None:
        """Close the connections."""
        self._celery.close()
        self._redis.close()
