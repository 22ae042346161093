"""A process of the embedded stack that is started again when it ends, and its log, which is kept small."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from service.terminal.processes import Child, start

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_STABLE_AFTER_S = 60.0  # after this uptime the next pause is the shortest again
_LARGEST_LOG_BYTES = 10 * 2**20
_OLD_LOGS = 3


class StackError(Exception):
    """The stack cannot start or continue; the message says what to do."""


class Supervised:
    """A child process by name, which is started again with the same command after a pause that grows."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._command, self._environment = command, environment
        self._child: Child | None = None
        self._started_at, self._deaths, self._restart_at = 0.0, 0, 0.0

    def start(self) -> None:
        """Start it. Raises StackError."""
        try:
            self.log.parent.mkdir(exist_ok=True)
            rotate(self.log)
            self._child = start(self._command, self._environment, self.log)
        except OSError as error:
            raise StackError(f"cannot start the {self.name}: {error}") from error
        self._started_at = time.monotonic()

    def check(self) -> None:
        """Raise StackError if it has ended."""
        if self._child is not None and self._child.code is not None:
            raise StackError(f"the {self.name} {self._child.ending}. The end of its log, {self.log}:\n{self.tail()}")

    def restart_if_ended(self, on_restart: Callable[[str], None]) -> None:
        """Start it again if it ended and its pause is over. `on_restart` gets a message when it has ended. Raises StackError."""
        now = time.monotonic()
        if self._child is None:
            if now >= self._restart_at:
                self.start()
            return
        if self._child.code is None:
            return
        ending = self._child.ending
        self.stop()
        self._deaths = 1 if now - self._started_at > _STABLE_AFTER_S else self._deaths + 1
        pause = min(_FIRST_PAUSE_S * 2.0 ** (self._deaths - 1), _LONGEST_PAUSE_S)
        self._restart_at = now + pause
        on_restart(f"the {self.name} {ending}; it restarts in {pause:g} s. Its log is {self.log}")

    def stop(self) -> None:
        """Stop it and all of its group."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """Kill it and all of its group."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def tail(self) -> str:
        """The last lines of its log."""
        return "" if self._child is None else self._child.tail()


def rotate(log: Path, largest: int = _LARGEST_LOG_BYTES) -> None:
    """Keep a log small: beyond `largest` bytes its content goes to `NAME.1`, that of `NAME.1` to `NAME.2`, up to 3.

    The process goes on writing to the same file, which is emptied. A full disk leaves it as it is.
    """
    with suppress(OSError):
        if log.stat().st_size <= largest:
            return
        for number in range(_OLD_LOGS - 1, 0, -1):
            with suppress(FileNotFoundError):
                _numbered(log, number).replace(_numbered(log, number + 1))
        shutil.copyfile(log, _numbered(log, 1))
        os.truncate(log, 0)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
