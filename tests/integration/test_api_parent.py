"""The API as two processes: the parent, and the one that answers. Each is killed and stopped as users and kernels do it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.store.engine import migrate
from tests.servers import administer, reserved_port

PATIENCE_S = 120
GRACE_S = 20
ENDED = "the process that answers ended, another is started"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads processes as Linux tells of them")


def living(pid: int) -> bool:
    """Whether a process lives; a dead one that nobody asked about does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(law: Callable[[], bool]) -> None:
    """Wait until the law holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not law():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Api:
    """A running API and its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def answering(self) -> int:
        """The process that answers."""
        (found,) = children(self.process.pid)
        return found

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of an event in its log."""
        # The last line may be half written.
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        return [one for one in map(json.loads, whole) if one["event"] == event]

    def kill_answering(self) -> int:
        """Kill the process that answers, and say which it was."""
        killed = self.answering()
        os.kill(killed, signal.SIGKILL)
        return killed

    def members(self) -> list[int]:
        """All of its processes."""
        found = [self.process.pid]
        for one in found:
            with contextlib.suppress(OSError):
                found += children(one)
        return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SUSPECTS_HOME": str(tmp_path / "home"),
        "SUSPECTS_BROKER_URL": "redis://127.0.0.1:1/0",
        "SUSPECTS_COLLECT_SECONDS": "0",
    }


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "service.main", "--port", str(port), "--timeout-graceful-shutdown", str(GRACE_S)]


@contextlib.contextmanager
def started(log: Path, environment: dict[str, str], words: Sequence[str], port: int) -> Iterator[Api]:
    """The API, once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    api = Api(process, port, log)
    try:
        until(lambda: bool(process.poll() is not None or api.lines("answering")))
        assert process.poll() is None, log.read_text()
        yield api
    finally:
        for one in api.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()


@pytest.fixture
def api(tmp_path: Path, environment: dict[str, str]) -> Iterator[Api]:
    with reserved_port() as port, started(tmp_path / "api.log", environment, command(port), port) as found:
        yield found


def test_a_request_after_the_answering_process_was_killed_is_answered_by_the_next(api: Api) -> None:
    killed = api.kill_answering()
    # Nobody asks again: a connection that were refused would be an error.
    assert httpx.get(f"{api.url}/healthz", trust_env=False, timeout=PATIENCE_S).is_success
    assert api.process.poll() is None
    assert api.answering() != killed
    assert not living(killed)


def test_a_connection_that_was_idle_for_longer_than_clients_keep_theirs_is_answered(api: Api) -> None:
    # It raises where the server has closed its connection, and makes no other by itself.
    with contextlib.closing(HTTPConnection("127.0.0.1", api.port, timeout=PATIENCE_S)) as connection:
        for pause_s in (0, 6):  # httpx and uvicorn close after 5 s where nobody says otherwise
            time.sleep(pause_s)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)


def test_the_address_that_a_client_says_is_believed_of_named_proxies_alone(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    for trusted, last in (({}, 429), ({"FORWARDED_ALLOW_IPS": "127.0.0.1"}, 401)):
        variables = {**environment, "SUSPECTS_API_KEYS": "sesame", "SUSPECTS_WRONG_KEY_LIMIT": "3", **trusted}
        log = tmp_path / f"{last}.log"
        with reserved_port() as port, started(log, variables, command(port), port) as api:
            statuses = [
                httpx.get(
                    f"{api.url}/jobs",
                    headers={"Authorization": "Bearer wrong", "X-Forwarded-For": f"203.0.113.{number}"},
                    trust_env=False,
                    timeout=PATIENCE_S,
                ).status_code
                for number in range(5)
            ]
        assert (statuses[0], statuses[-1]) == (401, last), statuses


def test_the_log_says_what_ended_the_answering_process_and_that_another_answers(api: Api) -> None:
    killed = []
    for deaths in range(1, 4):
        killed.append(api.kill_answering())
        until(lambda: len(api.lines("answering")) == deaths + 1)  # noqa: B023 - asked at once
    ended = api.lines(ENDED)
    assert [(one["pid"], one["signal"], one["level"]) for one in ended] == [
        (one, "SIGKILL", "warning") for one in killed
    ]
    assert [one["pause_s"] for one in ended] == [0, 0.1, 0.2]  # it dies again and again
    assert [one["pid"] for one in api.lines("answering")] == [*killed, api.answering()]


def terminate(api: Api) -> None:
    """Stop it as a container runtime does."""
    api.process.terminate()


def interrupt(api: Api) -> None:
    """Stop it as a terminal does at Ctrl-C: both get the signal, here the parent a moment later."""
    os.kill(api.answering(), signal.SIGINT)
    time.sleep(0.3)
    api.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("stop", [terminate, interrupt])
def test_a_signal_to_stop_ends_both_after_the_answer_that_is_being_given(api: Api, stop: Callable[[Api], None]) -> None:
    members = api.members()
    with socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_S) as asking:
        asking.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            b"Connection: close\r\n\r\n{"
        )
        time.sleep(0.5)  # the server has read it
        stop(api)

        def is_refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", api.port)) != 0

        until(is_refused)
        assert api.process.poll() is None
        asking.sendall(b"}")
        assert asking.recv(100).startswith(b"HTTP/1.1 422 ")
    assert api.process.wait(GRACE_S) == 0
    until(lambda: not any(map(living, members)))


def test_a_parent_that_is_stopped_while_it_waits_starts_no_other_process(api: Api) -> None:
    for _ in range(5):  # so that it waits for a while
        before = len(api.lines("answering"))
        api.kill_answering()
        until(lambda: len(api.lines("answering")) > before)  # noqa: B023 - asked at once
    api.kill_answering()
    until(lambda: len(api.lines(ENDED)) == 6)
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(PATIENCE_S) == 0
    assert len(api.lines("answering")) == 6


WITHOUT_HELP_OF_THE_KERNEL = """
import sys
from service import ends_with_parent
ends_with_parent._LIBC = None
from service.main.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("has_kernel", [True, False])
def test_a_parent_that_is_killed_leaves_no_process(
    tmp_path: Path, environment: dict[str, str], *, has_kernel: bool
) -> None:
    with reserved_port() as port:
        words = command(port)
        if not has_kernel:
            words[1:3] = ["-c", WITHOUT_HELP_OF_THE_KERNEL]
        with started(tmp_path / "api.log", environment, words, port) as api:
            members = api.members()
            assert len(members) >= 3, "parent, the process that answers, and one that reads uploads"
            if has_kernel:
                os.kill(api.answering(), signal.SIGSTOP)  # it can do nothing itself
            api.process.kill()
            api.process.wait()
            until(lambda: not any(map(living, members)))


def ending(environment: dict[str, str], port: int) -> tuple[int, str]:
    """The exit code and what was said of an API that cannot start."""
    done = subprocess.run(
        command(port), env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    return done.returncode, done.stderr


def test_a_setting_that_cannot_be_ends_the_parent_with_the_reason(environment: dict[str, str]) -> None:
    with reserved_port() as port:
        code, said = ending({**environment, "SUSPECTS_THREADS": "0"}, port)
    assert code == 3
    assert said.count("SUSPECTS_THREADS: Input should be greater than 0") == 1
    assert "Traceback" not in said


def test_a_database_of_a_newer_version_ends_the_parent_with_the_reason(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    url = f"sqlite:///{tmp_path / 'own.db'}"
    migrate(url)
    administer(
        url,
        "UPDATE alembic_version SET version_num = '9000'",
        "UPDATE schema_compatibility SET oldest_code = '9000'",
    )
    with reserved_port() as port:
        code, said = ending({**environment, "SUSPECTS_DATABASE_URL": url}, port)
    assert code == 3
    assert said.count("the process that answers could not start") == 1
    assert "suspects migrate down --to" in said


def test_a_port_that_is_taken_ends_the_parent_with_the_reason(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = ending(environment, taken.getsockname()[1])
    assert code == 3
    assert "Address already in use" in said


def test_the_parent_is_one_thread_that_has_nothing_open_but_its_sockets(api: Api, environment: dict[str, str]) -> None:
    """Of what a fork copies it has neither locks of other threads nor connections: those of the database are the child's."""
    parent = api.process.pid
    assert os.listdir(f"/proc/{parent}/task") == [str(parent)]  # noqa: PTH208 - names alone
    opened = [os.readlink(one) for one in Path(f"/proc/{parent}/fd").iterdir()]  # noqa: PTH115 - also of what is no file
    assert len([one for one in opened if one.startswith("socket:")]) == 1
    assert not [one for one in opened if one.startswith(environment["SUSPECTS_HOME"])]
    held = [os.readlink(one) for one in Path(f"/proc/{api.answering()}/fd").iterdir()]  # noqa: PTH115
    assert len([one for one in held if one.startswith("socket:")]) > 1


FIRST_OF_A_CONTAINER = """
import ctypes, sys
ctypes.CDLL(None).prctl(36, 1)  # who loses its parent becomes a child of this process, as of the first one of a container
from service.main.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_first_process_of_a_container_reaps_orphans_of_the_one_that_answers(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with reserved_port() as port:
        words = command(port)
        words[1:3] = ["-c", FIRST_OF_A_CONTAINER]
        with started(tmp_path / "api.log", environment, words, port) as api:
            orphans = children(api.answering())
            assert orphans, "the one that reads uploads"
            killed = api.kill_answering()
            until(lambda: len(api.lines("answering")) == 2)
            until(lambda: not any(Path(f"/proc/{one}").exists() for one in (killed, *orphans)))
            assert [one["pid"] for one in api.lines(ENDED)] == [killed]
            assert httpx.get(f"{api.url}/healthz", trust_env=False, timeout=PATIENCE_S).is_success


TELLS_ITS_RANDOM_STATE = """
import os, random, secrets, sys
import numpy as np
import service.main.__main__ as api

def run(self, sockets):
    self._on_start()
    os.write(1, f"{random.random()} {np.random.random()} {secrets.token_hex()}\\n".encode())

api._Server.run = run
sys.exit(api.main(["--port", sys.argv[1]]))
"""


def test_no_two_processes_draw_the_same_random_numbers(environment: dict[str, str]) -> None:
    with reserved_port() as port:
        words = [sys.executable, "-c", TELLS_ITS_RANDOM_STATE, str(port)]
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            drawn = [process.stdout.readline().split() for _ in range(3)]
            process.terminate()
    assert [len({*column}) for column in zip(*drawn, strict=True)] == [3, 3, 3]


def test_the_api_cuts_off_headers_without_end_and_names_no_server(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=PATIENCE_S) as asking:
        asking.sendall(b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
        assert asking.recv(100).startswith(b"HTTP/1.1 431 ")
    answer = httpx.get(f"{api.url}/healthz", trust_env=False, timeout=PATIENCE_S)
    assert "server" not in answer.headers
    until(lambda: bool(api.lines("request")))
    logged = [json.loads(line) for line in api.log.read_text().splitlines() if "/healthz" in line]
    assert [one["event"] for one in logged] == ["request"]  # one line for each, and not another of the server
