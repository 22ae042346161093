"""A short campaign on PostgreSQL; `make chaos` runs the long one, with every fault, on SQLite, too."""

import contextlib
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.campaign import schedule
from tests.chaos.faults import FAULTS
from tests.chaos.hosts import can_have_own_space
from tests.chaos.stack import wait_for

# Those that no other test injects into real processes, and that are over within seconds.
SHORT = [
    "broker emptied",
    "kill -9 of a worker's child",
    "checkpoint with a flipped bit, worker killed",
    "two claimants at once",
    "host of a worker cut off past the lease",
    "kill -9 of a helper in a block",
    "block with a flipped bit",
]

_PATIENCE_S = 30.0


@pytest.mark.slow
@pytest.mark.servers
def test_no_fault_loses_a_job_changes_a_ranking_or_leaves_anything_behind() -> None:
    begin = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--on",
        "postgresql",
        "--seed",
        "1",
        "--workers",
        "2",
        "--tables",
        "1",
    ]
    named = [word for fault in SHORT for word in ("--only", fault)]
    done = subprocess.run([*begin, "--faults", str(len(SHORT)), *named], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# In a session of its own, as the parts of an installation are.
_BEGINS_A_SERVER = """
import subprocess, sys, time
from tests.chaos.hosts import move_to_own_space
move_to_own_space()
subprocess.Popen(["sleep", sys.argv[1]], start_new_session=True)
print("begun", flush=True)
time.sleep(600)
"""


def test_what_a_campaign_began_ends_when_it_is_killed() -> None:
    if not can_have_own_space():
        pytest.skip("namespaces cannot be made here")
    seconds = f"{600 + random.SystemRandom().random()}"  # by which it is known
    with subprocess.Popen(
        [sys.executable, "-c", _BEGINS_A_SERVER, seconds], stdout=subprocess.PIPE, text=True
    ) as begun:
        assert begun.stdout is not None
        assert begun.stdout.readline() == "begun\n"
        # A process that was just begun has no command line for a moment.
        wait_for(lambda: _is_running(seconds), _PATIENCE_S, lambda: "it never ran")
        begun.kill()
    wait_for(lambda: not _is_running(seconds), _PATIENCE_S, lambda: "it still runs")


def _is_running(seconds: str) -> bool:
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if one.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
    return False


def test_a_long_campaign_injects_each_fault_in_each_of_its_phases() -> None:
    turns = schedule(FAULTS, 5 * len(FAULTS), random.Random(0))
    counted = Counter((turn.fault.name, turn.phase) for turn in turns)
    assert set(counted) == {(fault.name, phase) for fault in FAULTS for phase in fault.phases}
    assert turns == schedule(FAULTS, 5 * len(FAULTS), random.Random(0))
    assert turns != schedule(FAULTS, 5 * len(FAULTS), random.Random(1))
