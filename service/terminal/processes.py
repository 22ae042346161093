"""Child processes that end when this process ends."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.ends_with_parent import end_with_parent

_STOP_WITHIN_S = 20.0
_TAIL_BYTES = 4000
_TAIL_LINES = 15


@dataclass(frozen=True)
class Child:
    """A child process in its own session and process group; its output goes to the file `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self.process.poll()

    @property
    def ending(self) -> str:
        """How it ended, as text. Only for an ended process."""
        code = self.process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def stop(self) -> None:
        """Terminate it, kill it after 20 s, then kill the rest of its group. Also for an ended process."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.kill()

    def kill(self) -> None:
        """Kill it and the rest of its group. Also for an ended process."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
        return ""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start a command. Call it from the main thread only. Raises OSError."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the commands are of service.terminal.stack
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, os.getpid()),  # noqa: PLW1509 - two system calls, and no other thread runs
        )
    return Child(process, log)


def free_port() -> int:
    """A free TCP port on 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
