"""`suspects up` of a checkout, started and stopped for a benchmark."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers import reserved_port

ROOT = Path(__file__).parents[1]
_READY_WITHIN_S = 120.0
# The console script would import the installed checkout.
_SUSPECTS = "import sys; from service.terminal.cli import main; sys.argv[0] = 'suspects'; main()"


@contextmanager
def whole_stack(home: Path, tree: Path = ROOT, settings: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """URL of the service and number of its first process, once it is ready. `home` gets the log, `up.log`, too.

    `settings` are further variables of the environment. Raises RuntimeError where it is not ready within two minutes.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home / "up.log"
    environment = {**os.environ, "PYTHONPATH": str(tree), **(settings or {})}
    with reserved_port() as port, log.open("wb") as said:
        command = [sys.executable, "-c", _SUSPECTS, "up", "--home", str(home), "--port", str(port)]
        process = subprocess.Popen(command, cwd=tree, env=environment, stdout=said, stderr=said)  # noqa: S603 - this interpreter, no input
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process, log)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(60)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"the service did not start: {log.read_text()[-2000:]}")
