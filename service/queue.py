"""The queue of jobs as the service sees it: it tells workers that a job waits, and nothing depends on being heard.

The ledger is the truth. A message that is lost, late or doubled changes nothing: the sweep tells again, and a worker
claims in the ledger before it computes.
"""

from typing import Any, Protocol

import redis
import structlog
from celery import Celery

from service.settings import JOB_QUEUE, JOB_TASK, QUESTION_QUEUE, QUESTION_TASK, Settings, broker_options

log = structlog.get_logger()
_SOONEST = 9
_PATIENCE = 1.0  # seconds for a broker that does not answer


class Queue(Protocol):
    """What the service needs of a queue."""

    def wake(self, job_id: str, priority: int) -> bool:
        """Tell the workers that a job waits; False when the broker cannot be reached, never an exception."""

    def ask(self, job_id: str, question: str, seconds: float) -> bool:
        """Ask the workers what a job's model says; nobody waits for longer than so many seconds. False as above."""

    def depth(self) -> int | None:
        """How many jobs' messages wait; None when the broker cannot be reached."""

    def close(self) -> None:
        """Give the connections back."""


class CeleryQueue:
    """Celery's queue on Redis or Valkey; tasks are named, never imported."""

    def __init__(self, settings: Settings) -> None:
        self._celery = Celery("usual-suspects-api", broker=settings.broker_url, set_as_current=False)
        self._celery.conf.update(
            broker_transport_options={
                **broker_options(),
                "socket_connect_timeout": _PATIENCE,
                "socket_timeout": _PATIENCE,
                "max_retries": 0,
            },
            broker_connection_timeout=_PATIENCE,
            task_ignore_result=True,
        )
        self._redis = redis.Redis.from_url(
            settings.broker_url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE, retry=None
        )

    def wake(self, job_id: str, priority: int) -> bool:
        """Send one message, once. The API's priority 9 (soonest) is the broker's 0."""
        told = self._send(JOB_TASK, [job_id], queue=JOB_QUEUE, priority=_SOONEST - priority)
        if not told:
            log.warning("the sweep will tell the workers", job=job_id)
        return told

    def ask(self, job_id: str, question: str, seconds: float) -> bool:
        """Send one message, which no worker takes up when it has become too late."""
        return self._send(QUESTION_TASK, [job_id, question], queue=QUESTION_QUEUE, priority=0, expires=seconds)

    def _send(self, task: str, arguments: list[str], **options: Any) -> bool:
        try:
            self._celery.send_task(task, args=arguments, retry=False, ignore_result=True, **options)
        except Exception as error:  # noqa: BLE001 - whatever ails the broker, what must be done is in the ledger
            log.warning("broker not reached", task=task, error=str(error))
            return False
        return True

    def depth(self) -> int | None:
        """Messages of every priority that no worker has taken yet."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for step in range(_SOONEST + 1):
                    pipe.llen(f"{JOB_QUEUE}\x06\x16{step}" if step else JOB_QUEUE)
                return int(sum(pipe.execute()))
        except redis.RedisError as error:
            log.debug("broker not reached", error=str(error))
            return None

    def close(self) -> None:
        """Give the connections back."""
        self._celery.close()
        self._redis.close()
