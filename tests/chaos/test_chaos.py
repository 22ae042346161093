"""A short campaign on PostgreSQL; `make chaos` runs the long one, with every fault, on SQLite, too."""

import random
import subprocess
import sys
from collections import Counter

import pytest

from tests.chaos.campaign import schedule
from tests.chaos.faults import FAULTS

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


def test_a_long_campaign_injects_each_fault_in_each_of_its_phases() -> None:
    turns = schedule(FAULTS, 5 * len(FAULTS), random.Random(0))
    counted = Counter((turn.fault.name, turn.phase) for turn in turns)
    assert set(counted) == {(fault.name, phase) for fault in FAULTS for phase in fault.phases}
    assert turns == schedule(FAULTS, 5 * len(FAULTS), random.Random(0))
    assert turns != schedule(FAULTS, 5 * len(FAULTS), random.Random(1))
