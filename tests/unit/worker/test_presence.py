"""What a worker writes of itself harms none of its processes."""

import subprocess
import sys

import pytest

# A parent that writes all the time, and forks children, each of which writes once.
PROGRAM = """
import os, signal, sys
from service.store import workers
from service.store.clock import database_time
from service.store.engine import open_database
from worker.process.presence import worker_presence

url = sys.argv[1]
worker_presence("host-1-a", ["cpu"], url, 0.001)
for number in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        with open_database(url).write() as connection:
            workers.record_heartbeat(connection, "host-2-b", database_time(connection))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("child", number, "could not write")
        break
os._exit(0)
"""


@pytest.mark.slow
def test_a_child_that_is_forked_while_its_parent_writes_can_write(database_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, database_url], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
