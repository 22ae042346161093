"""CPU cores that a process may compute on: those that it may run on, the quota of its container, and a fair share of both."""

import os
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")


@dataclass(frozen=True)
class Cores:
    """`allowed`: cores that the process may run on. `quota`: the processor time of its container, in cores; None: no limit.

    `place` names the cores across containers: processes with the same place share them.
    """

    allowed: int
    quota: float | None
    place: str

    def share(self, at_place: int, in_container: int) -> int:
        """Threads of one process, where so many processes share the cores, and so many the container's quota."""
        fair = self.allowed / max(at_place, 1)
        if self.quota is not None:
            fair = min(fair, self.quota / max(in_container, 1))
        return max(1, int(fair))


def find_cores(root: Path = _ROOT) -> Cores:
    """The cores of this process; `root` has the files of the kernel."""
    allowed = _allowed()
    return Cores(len(allowed), _quota(root), f"{_machine(root)}/{_ranges(allowed)}")


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _machine(root: Path) -> str:
    # The same in all containers of a machine, whose host names differ.
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename


def _ranges(numbers: list[int]) -> str:
    """`0-3,8` for 0, 1, 2, 3 and 8."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _quota(root: Path) -> float | None:
    """The least quota of the process's control group and of those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            found += [_unified(folder) for folder in _upwards(root / "sys/fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for mounted in {controllers, "cpu"}:
                found += [_divided(folder) for folder in _upwards(root / "sys/fs/cgroup" / mounted, path)]
    known = [one for one in found if one is not None]
    return min(known, default=None)


def _upwards(mounted: Path, path: str) -> list[Path]:
    # In a container the path may be the one outside, of which only the end, the mount itself, is there.
    inner = mounted / path.strip("/")
    return [inner, *(folder for folder in inner.parents if folder.is_relative_to(mounted))]


def _unified(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _divided(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota < 0 else quota / period
