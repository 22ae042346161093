"""Clocks that jump: libfaketime, loaded before a process's own libraries, reads the jump from a file."""

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def library() -> Path | None:
    """The library of the package libfaketime or of the system; None where none works."""
    if sys.platform != "linux":
        return None
    found = importlib.util.find_spec("libfaketime")
    folders = [Path(place) for place in found.submodule_search_locations or []] if found else []
    places = [folder / "vendor/libfaketime/src/libfaketime.so.1" for folder in folders]
    places += sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return next((place for place in places if place.exists() and _works(place)), None)


def _works(place: Path) -> bool:
    """Whether a process that loads it sees the time that it is told; the library may be that of another processor."""
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    environment = {**os.environ, "LD_PRELOAD": str(place), "FAKETIME": "+1000d", "FAKETIME_DISABLE_SHM": "1"}
    done = subprocess.run(asked, env=environment, check=False, capture_output=True, text=True)
    return done.returncode == 0 and float(done.stdout) > time.time() + 86_400


@dataclass(frozen=True)
class Clock:
    """The wall clock of one process. Its monotonic clock goes on, as where somebody sets the clock of a machine."""

    file: Path

    def environment(self) -> dict[str, str]:
        """What a process needs to have this clock; nothing where there is no library."""
        found = library()
        if found is None:
            return {}
        self.jump(0)
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock so many seconds after the right time."""
        self.file.write_text(f"{seconds:+d}\n")
