"""The API: `python -m service.main`. A parent imports everything once, and forks the process that answers whenever there is none.

Imports take seconds where the cores are busy; a fork takes none. The parent holds the sockets, so that whoever connects before
the next process answers waits instead of being refused. It is ours because uvicorn's own supervisor starts processes that import
everything anew, and gunicorn with uvicorn's worker leaves the process that answers behind when the parent is killed.

The file is named `__main__.py` because the processes that read uploads import a main module of any other name again.
"""

import argparse
import gc
import importlib
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

import numpy as np
import structlog
import uvicorn
from uvicorn.config import LOG_LEVELS, STARTUP_FAILURE

from service.api.http.slow_headers import CutOffSlowHeaders
from service.ends_with_parent import end_with_parent
from service.environment import settings_or_exit
from service.logs import log_libraries_to_stderr, log_to_stderr
from service.main import create_app, prepare_routes

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_STABLE_AFTER_S = 5.0  # a process that ends after this uptime is replaced without a pause
_KILLED = 128  # plus the signal's number: the exit code that shells give a process that a signal ended
# What a starting service imports. Who imports `service.main` for another purpose does without.
_IMPORTED_AT_START = (
    "alembic.command",
    "anyio._backends._asyncio",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.websockets.auto",
)
log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A server in a child process: it says when it has started, and stops when the process `parent` has ended."""

    def __init__(self, config: uvicorn.Config, parent: int, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._parent, self._on_start = parent, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, or exit with a code that says that it cannot."""
        await super().startup(sockets)
        self._on_start()
        log.info("answering", pid=os.getpid(), addresses=[one.getsockname()[:2] for one in sockets or ()])

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop. Where the kernel does not end it with its parent, it sees that it has another one."""
        return await super().on_tick(counter) or os.getppid() != self._parent


class _Parent:
    """Keeps one process that answers on sockets. It stops that process when a signal asks it to stop."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        self._config, self._sockets = config, sockets
        self._child, self._is_asked = 0, False

    def run(self) -> int:
        """The exit code: of the parent, and of each child, which returns from here, too."""
        for one in _STOPPING:
            signal.signal(one, self._stop)
        came_up = mmap.mmap(-1, 1)  # memory that all of them share
        deaths = 0
        while True:
            began = time.monotonic()
            if self._fork() == 0:
                return self._answer(lambda: came_up.__setitem__(0, 1))
            pid, code = self._wait()
            if self._is_asked:
                return 0
            ended = {"signal": signal.Signals(-code).name} if code < 0 else {"code": code}
            if not came_up[0]:
                log.error("the process that answers could not start", pid=pid, **ended)
                return code if code >= 0 else _KILLED - code
            deaths = 1 if time.monotonic() - began > _STABLE_AFTER_S else deaths + 1
            pause = 0.0 if deaths == 1 else min(_FIRST_PAUSE_S * 2.0 ** (deaths - 2), _LONGEST_PAUSE_S)
            log.warning("the process that answers ended, another is started", pid=pid, pause_s=pause, **ended)
            time.sleep(pause)

    def _fork(self) -> int:
        """Fork. 0 in the child, whose signals are handled as in a new process."""
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # until it is known whom they reach
        self._child = os.fork()
        if self._child == 0:
            end_with_parent(parent)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        return self._child

    def _answer(self, on_start: Callable[[], None]) -> int:
        np.random.seed()  # noqa: NPY002 - libraries may use this state, which no two processes must share; `random` does it itself
        server = _Server(self._config, os.getppid(), on_start)
        with suppress(KeyboardInterrupt):  # by which the server tells of a signal, once it has stopped
            server.run(self._sockets)
        return 0 if server.started else STARTUP_FAILURE

    def _wait(self) -> tuple[int, int]:
        """Wait until the child ends; its number and its exit code, negative for a signal."""
        while True:
            pid, status = os.waitpid(-1, 0)  # the first process of a container also inherits the children of others
            if pid == self._child:
                self._child = 0
                return pid, os.waitstatus_to_exitcode(status)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Stop the child in good order; without one, exit."""
        self._is_asked = True
        for one in self._sockets:
            one.close()  # so that nobody waits for an answer of a process that is not started any more
        if self._child == 0:
            sys.exit(0)
        with suppress(ProcessLookupError):
            # Not the signal that came: a terminal sends SIGINT to the child, too, and a second one cuts off open answers.
            os.kill(self._child, signal.SIGTERM)


def _bound(host: str, port: int) -> list[socket.socket]:
    """Sockets at each address of a host, on which nobody listens yet. Raises OSError."""
    found = []
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        one = socket.socket(family, kind, protocol)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        found.append(one)
    return found


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What a command line says, or that of this process."""
    parser = argparse.ArgumentParser(prog="python -m service.main", description="Serves the API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--log-level", choices=list(LOG_LEVELS), help="least level of the server's own lines")
    parser.add_argument(
        "--timeout-graceful-shutdown", type=int, default=5, help="seconds that open requests are given when it stops"
    )
    parser.add_argument(
        "--timeout-keep-alive",
        type=int,
        default=75,  # common load balancers keep connections for 60 s
        help="seconds that a connection may be idle between two requests; more than a load balancer keeps it",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, and return the exit code."""
    given = options(arguments)
    config = uvicorn.Config(
        create_app,
        factory=True,
        http=CutOffSlowHeaders,
        log_level=given.log_level,
        access_log=False,
        server_header=False,
        # What a client says of its address is believed of proxies alone that are named.
        proxy_headers=bool(os.environ.get("FORWARDED_ALLOW_IPS")),
        timeout_graceful_shutdown=given.timeout_graceful_shutdown,
        timeout_keep_alive=given.timeout_keep_alive,
    )
    log_to_stderr()
    log_libraries_to_stderr()
    settings_or_exit()  # before a process is forked that would end again and again
    try:
        sockets = _bound(given.host, given.port)
    except OSError as error:
        log.error("cannot listen", host=given.host, port=given.port, error=str(error))  # noqa: TRY400 - the reason is enough
        return STARTUP_FAILURE
    for name in _IMPORTED_AT_START:
        importlib.import_module(name)
    prepare_routes()
    gc.freeze()  # so that the processes share this memory
    return _Parent(config, sockets).run()


if __name__ == "__main__":
    sys.exit(main())
