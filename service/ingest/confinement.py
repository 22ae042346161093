"""Limits that the system holds a process to while it reads an upload."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_FULL_SPEED_BYTES = 64 * 2**20
_TO_REPORT_S = 5  # between the signal of the limit of time and the end by force
_PATIENCE = 4  # of the clock over processor time: a machine may be busy with other work


@dataclass(frozen=True)
class Confinement:
    """The most that reading one upload may take.

    `seconds` are of processor time, for up to 64 MiB; a larger upload gets as much more as it is larger. `file_bytes` is the
    largest file that may be written.
    """

    memory_bytes: int = 4 * 2**30
    seconds: float = 300
    file_bytes: int = 200 * 2**30

    def processor_seconds(self, size: int) -> float:
        """Processor time for an upload of so many bytes."""
        return self.seconds * max(1.0, size / _FULL_SPEED_BYTES)

    def clock_seconds(self, size: int) -> float:
        """Time by the clock for an upload of so many bytes."""
        return _PATIENCE * self.processor_seconds(size)

    def enter(self, size: int) -> None:
        """Hold this process to the limits from now on; it cannot leave them. A system without one of them goes without it."""
        _yield_to_others()
        # Of data and not of addresses: files that are mapped to be read take no memory, and allocators reserve addresses.
        _lower(resource.RLIMIT_DATA, _data_bytes() + self.memory_bytes)
        _lower(resource.RLIMIT_FSIZE, self.file_bytes)
        _lower(resource.RLIMIT_CORE, 0)
        seconds = int(self.processor_seconds(size)) + 1
        _lower(resource.RLIMIT_CPU, seconds, seconds + _TO_REPORT_S)


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, where the system does not already hold this process to a lower one."""
    given = resource.getrlimit(kind)[1]
    most = given if given != resource.RLIM_INFINITY else max(soft, hard or soft)
    resource.setrlimit(kind, (min(soft, most), min(hard or soft, most)))


def _data_bytes() -> int:
    """Bytes of writable memory that this process has now, as the limit of data counts them; 0 where that is not known."""
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)


def _yield_to_others() -> None:
    """Let the kernel end this process first where memory runs out."""
    if sys.platform == "linux":
        try:
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        except OSError:  # not mounted, or not to be written
            return
