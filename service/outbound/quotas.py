"""Quotas of keys, and lockouts of addresses from which wrong keys came."""

import math
import time
from collections.abc import Callable
from functools import cached_property

import structlog
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from service.settings import Settings

log = structlog.get_logger()

_TIMEOUT_S = 1.0
_LOCKOUT_MINUTES = 5
_WRITTEN_DOWN = 20  # wrong keys of an address in that time, where none locks it out


class Quotas:
    """Counts what is spent in a window of time, in Redis or Valkey, which all processes share.

    While that cannot be reached, each process counts for itself. Wrong keys are always counted so: every request asks for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._url, self._wrong_keys = settings.broker_url, settings.wrong_key_limit
        self._alone = FixedWindowRateLimiter(MemoryStorage())

    def spend_requests(self, who: str, per_minute: int) -> int | None:
        """Count a request; the seconds to wait where there were too many in this minute."""
        return self._spend(RateLimitItemPerMinute(per_minute, namespace="requests"), who, 1)

    def spend_bytes(self, who: str, per_day: int, number: int) -> int | None:
        """Count the bytes of a body; the seconds to wait where they do not fit into this day."""
        return self._spend(RateLimitItemPerDay(per_day, namespace="bytes"), who, number)

    def spend_wrong_key(self, address: str) -> None:
        """Count a wrong key that came from an address."""
        if self._wrong_keys:
            self._alone.hit(self._lockout, address)

    def locked_out(self, address: str) -> int | None:
        """The seconds for which an address is refused, because too many wrong keys came from it; None: it is not."""
        if not self._wrong_keys:
            return None
        item = self._lockout
        return None if self._alone.test(item, address) else _wait(self._alone, item, address)

    def is_news(self, address: str, *, locked_out: bool) -> bool:
        """Whether a wrong key from an address is to be written down: as many as lock it out, and one `locked_out` in that time."""
        most = 1 if locked_out else self._wrong_keys or _WRITTEN_DOWN
        kind = "news-of-lockouts" if locked_out else "news-of-wrong-keys"
        return self._alone.hit(RateLimitItemPerMinute(most, _LOCKOUT_MINUTES, namespace=kind), address)

    @cached_property
    def _lockout(self) -> RateLimitItem:
        return RateLimitItemPerMinute(self._wrong_keys, _LOCKOUT_MINUTES, namespace="wrong-keys")

    def _spend(self, item: RateLimitItem, who: str, cost: int) -> int | None:
        return self._asked(lambda limiter: None if limiter.hit(item, who, cost=cost) else _wait(limiter, item, who))

    def _asked(self, ask: Callable[[RateLimiter], int | None]) -> int | None:
        if self._shared is not None:
            try:
                return ask(self._shared)
            except StorageError as error:
                log.warning("quotas are counted by each process alone", error=str(error))
        return ask(self._alone)

    @cached_property
    def _shared(self) -> RateLimiter | None:
        options = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        try:
            return FixedWindowRateLimiter(storage_from_string(self._url, wrap_exceptions=True, **options))
        except ConfigurationError as error:  # a kind of URL that only Celery reads
            log.warning("quotas are counted by each process alone", error=str(error))
            return None


def _wait(limiter: RateLimiter, item: RateLimitItem, who: str) -> int:
    return max(1, math.ceil(limiter.get_window_stats(item, who).reset_time - time.time()))
