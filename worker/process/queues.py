"""Queues that a worker reads, and those whose jobs it takes."""

from collections.abc import Collection, Sequence

from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.settings import ANY_QUEUE


def queues_read(asked: Sequence[str]) -> list[str]:
    """The queues to read where a worker was started with these: the first goes first.

    Services of earlier versions send every job to one queue, and workers were started with that. Beside it both others are read;
    and it is read beside `cpu`, because a job of such a service is one of that queue.
    """
    beside = {ANY_QUEUE: (ANY_QUEUE, *JOB_QUEUES), "cpu": ("cpu", ANY_QUEUE)}
    return list(dict.fromkeys(name for one in asked for name in beside.get(one, (one,))))


def queues_taken(asked: Collection[str]) -> tuple[JobQueue, ...]:
    """The queues whose jobs a worker takes that was started with these."""
    return tuple(queue for queue in JOB_QUEUES if queue in asked or ANY_QUEUE in asked)
