"""How long the worker of a job waits for blocks that helpers compute. All times are those of its own monotonic clock."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from service.store.blocks import HelpedBlock

_TIMES = 3.0  # the longest block of one's own
_LEAST_S = 2.0


def process_of(helper: str) -> str:
    """Id of the worker process that a helper is; each block that it takes has another name of it."""
    return helper.rsplit("/", 1)[0]


class Patience:
    """Knows which helpers are slow, by the blocks that one has computed oneself, and which are gone, by what they write of themselves."""

    def __init__(self, lease_seconds: float, clock: Callable[[], float]) -> None:
        self._lease_s, self._clock = lease_seconds, clock
        self._longest = 0.0
        self._held: dict[HelpedBlock, float] = {}  # since when it is known
        self._seen: dict[
            str, tuple[datetime | None, float]
        ] = {}  # what a process wrote last, and since when that is known

    def computed(self, seconds: float) -> None:
        """Note how long a block took here."""
        self._longest = max(self._longest, seconds)

    def note(self, held: Sequence[HelpedBlock], seen: Mapping[str, datetime]) -> None:
        """Note which blocks helpers have now, and when their processes wrote that they live."""
        now = self._clock()
        self._held = {one: self._held.get(one, now) for one in held}
        before, self._seen = self._seen, {}
        for process in {process_of(one.helper) for one in held}:
            written = seen.get(process)
            known = before.get(process)
            self._seen[process] = known if known is not None and known[0] == written else (written, now)

    def gone(self) -> list[HelpedBlock]:
        """Blocks of processes that have ended, or have written nothing for a lease."""
        now = self._clock()
        silent = {one for one, (written, since) in self._seen.items() if written is None or now - since > self._lease_s}
        return [one for one in self._held if process_of(one.helper) in silent]

    def slow(self) -> list[HelpedBlock]:
        """Blocks that helpers have had for much longer than a block takes here."""
        now, enough = self._clock(), max(_TIMES * self._longest, _LEAST_S)
        return [one for one, since in self._held.items() if now - since > enough]
