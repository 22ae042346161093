"""Time that a job takes, by phase, over all of its attempts."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.trace import get_tracer

from service.store.seal import read_json, sealed_write

_LEAST_PAUSE_S = 1.0  # between two writes of the file


class PhaseTimer:
    """Wall-clock seconds of each phase by name, in `laps`.

    They are kept in a file, so that an attempt that is cut off counts up to its last `keep`.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self.path, self._clock = path, clock
        kept = read_json(path) or {}
        self.laps = {name: float(seconds) for name, seconds in kept.items() if isinstance(seconds, int | float)}
        self._last = self._written = clock()
        self._began_ns = time.time_ns()

    def lap(self, name: str) -> None:
        """End the phase `name`, which becomes a span where there are traces; the next one begins."""
        get_tracer("usual_suspects").start_span(name.removesuffix("_s"), start_time=self._began_ns).end()
        self._began_ns = time.time_ns()
        now = self._clock()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 3)
        self._last = now
        self._write(self.laps)

    def keep(self, name: str) -> None:
        """Write the time of the running phase `name` so far, at most once a second."""
        now = self._clock()
        if now - self._written >= _LEAST_PAUSE_S:
            self._write({**self.laps, name: round(self.laps.get(name, 0.0) + now - self._last, 3)})

    def _write(self, laps: dict[str, float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with sealed_write(self.path) as part:
            part.write_text(json.dumps(laps))
        self._written = self._clock()
