"""One process of an installation and its children, which can be killed, stopped and started again."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Part:
    """A process in a group of its own; what it says is added to the file `log`."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    user: str | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it runs, or is stopped."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, where it does not live."""
        if self.lives:
            return
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
            )

    def kill(self) -> None:
        """Kill it and its children, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def kill_alone(self) -> None:
        """Kill it, and wait until it is gone; its children are left to themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it and its children, which know nothing of it."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self) -> None:
        """Kill it, stopped or not."""
        self.kill()
        self._process = None
