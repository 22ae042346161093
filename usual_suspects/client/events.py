"""Events of a job that is watched, and what is kept between two connections."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from usual_suspects.client.requests import CONNECT_S, EVENTS_S

ENDED = ("completed", "failed", "cancelled")
KINDS = ("state", "progress", "metrics")
_FAILURES = 5
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 16.0


@dataclass(frozen=True)
class Update:
    """One event of a watched job. `kind` is state, progress or metrics (of one epoch); `data` as in GET /jobs/{id}/events."""

    kind: str
    data: dict[str, Any]


class Watch:
    """Where the stream of a job stands: its last event, whether the job has ended, and how often nothing came through in a row.

    It is over after `timeout` seconds.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self.last, self.ended = "", False
        self._failures, self._received = 0, False

    def connect(self) -> httpx.Timeout:
        """A new connection begins; how long it may be silent."""
        self._received = False
        silence = EVENTS_S if self._deadline is None else min(EVENTS_S, max(0.1, self._deadline - time.monotonic()))
        return httpx.Timeout(EVENTS_S, read=silence, connect=CONNECT_S)

    def take(self, event: ServerSentEvent) -> Update:
        """An event that came."""
        self._received, self.last, self._failures = True, event.id or self.last, 0
        return self._note(Update(event.event, event.json()))

    def answered(self) -> None:
        """The service answers, with a stream or without."""
        self._failures = 0

    def failed(self) -> bool:
        """A connection broke: whether that was once too often."""
        self._failures += 1
        return self._failures > _FAILURES

    def polled(self, job: dict[str, Any]) -> Iterator[Update]:
        """What a polled job tells: its progress, and its end."""
        yield Update("progress", job["progress"])
        if job["state"] in ENDED:
            yield self._note(Update("state", {"state": job["state"]}))

    @property
    def must_poll(self) -> bool:
        """Whether the service answers, but no event came through."""
        return not self.ended and not self._received and not self._failures

    @property
    def is_over(self) -> bool:
        """Whether the time to wait is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def pause(self) -> float:
        """Seconds until the next connection; longer each time that one fails."""
        wanted: float = min(_PAUSE_S * 2 ** max(0, self._failures - 1), _LONGEST_PAUSE_S)
        return wanted if self._deadline is None else max(0.0, min(wanted, self._deadline - time.monotonic()))

    def _note(self, update: Update) -> Update:
        self.ended = update.data.get("state") in ENDED
        return update
