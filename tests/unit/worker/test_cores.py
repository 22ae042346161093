"""Threads of a worker process, by the files of the kernel and the processes beside it."""

import os
from pathlib import Path

import pytest

from worker.machine.cores import Cores, find_cores


def kernel(root: Path, **files: str) -> Path:
    """Files of a kernel: `/` stands as `__` in their names."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_max": "150000 100000\n"}, 1.5),
        ({"proc__self__cgroup": "0::/\n", "sys__fs__cgroup__cpu_max": "max 100000\n"}, None),
        # The least of a group and those above it holds; a path of outside the container is not there.
        (
            {
                "proc__self__cgroup": "0::/pod/app\n",
                "sys__fs__cgroup__pod__app__cpu_max": "max 100000\n",
                "sys__fs__cgroup__pod__cpu_max": "200000 100000\n",
                "sys__fs__cgroup__cpu_max": "400000 100000\n",
            },
            2.0,
        ),
        ({"proc__self__cgroup": "0::/docker/f00\n", "sys__fs__cgroup__cpu_max": "300000 100000\n"}, 3.0),
        (
            {
                "proc__self__cgroup": "5:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_quota_us": "50000\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc__self__cgroup": "5:cpu,cpuacct:/\n",
                "sys__fs__cgroup__cpu__cpu_cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu_cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert find_cores(kernel(tmp_path, **files)).quota == quota


def test_a_place_is_a_machine_and_the_cores_that_may_be_used(tmp_path: Path) -> None:
    there = find_cores(kernel(tmp_path, proc__sys__kernel__random__boot_id="f00\n"))
    assert there.allowed == len(os.sched_getaffinity(0))
    assert there.place.startswith("f00/0")


@pytest.mark.parametrize(
    ("allowed", "quota", "at_place", "in_container", "threads"),
    [
        (16, None, 1, 1, 16),
        (16, None, 4, 1, 4),  # four containers of one process each, on one machine
        (16, 2.0, 4, 1, 2),
        (16, 2.0, 4, 2, 1),
        (16, 0.5, 1, 1, 1),
        (2, None, 20, 1, 1),
        (3, None, 2, 2, 1),
        (8, None, 0, 1, 8),  # its own line is not written yet
    ],
)
def test_processes_share_cores_and_quota(
    allowed: int, quota: float | None, at_place: int, in_container: int, threads: int
) -> None:
    assert Cores(allowed, quota, "here").share(at_place, in_container) == threads
