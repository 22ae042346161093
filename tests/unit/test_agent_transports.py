"""`suspects mcp` as a process: over stdio, over HTTP, interrupted, and without its package."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
from mcp.client.streamable_http import streamable_http_client

from service.services import Services
from tests.agent import SUSPECTS, connected, over_stdio
from tests.builders import add_finished
from tests.servers import reserved_port
from tests.unit.test_cli import Suspects, suspects

__all__ = ["suspects"]  # a fixture

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-the-test"
READY_S = 60


@contextmanager
def running(*options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`suspects mcp` with these options."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
    process = subprocess.Popen(
        [SUSPECTS, "mcp", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=bare | {"PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_agent_starts_it_over_stdio(server: str, services: Services) -> None:
    add_finished(services.database, services.blobs)
    with over_stdio(server) as agent:
        assert [one["id"] for one in agent.call("jobs")["items"]] == ["job_1"]
        assert agent.call("suspects", job="job_1", limit=1)["items"][0]["rank"] == 1


def test_over_stdio_it_ends_with_its_stdin_and_prints_nothing_but_the_protocol() -> None:
    with running() as process:
        out, err = process.communicate("", timeout=READY_S)
        assert (process.returncode, out, err) == (0, "", "")


def test_an_interrupt_ends_it(server: str) -> None:
    with running(SUSPECTS_URL=server) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline().startswith("{")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=READY_S) in (130, -signal.SIGINT)


def test_over_http_it_answers_the_token_alone(server: str, services: Services) -> None:
    add_finished(services.database, services.blobs)
    with reserved_port() as port:
        pass
    url = f"http://127.0.0.1:{port}/mcp"
    with running("--http", str(port), SUSPECTS_URL=server, SUSPECTS_MCP_TOKEN=TOKEN) as process:
        assert process.stderr is not None
        assert url in process.stderr.readline()
        ask = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        deadline = time.monotonic() + READY_S
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": TOKEN}):
            while True:
                try:
                    answer = httpx.post(url, json=ask, headers=headers, trust_env=False, timeout=READY_S)
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            assert (answer.status_code, "Authorization: Bearer" in answer.text) == (401, True)
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        with connected(streamable_http_client(url, http_client=http)) as agent:
            assert [one["id"] for one in agent.call("jobs")["items"]] == ["job_1"]
            agent.portal.call(http.aclose)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=READY_S) == 130


def test_a_port_in_use_is_said(suspects: Suspects, server: str) -> None:
    said = suspects("mcp", "--http", server.rpartition(":")[2])
    assert (said.code, said.out, said.err.count("choose another")) == (1, "", 1)


def test_without_its_package_it_says_what_to_install(suspects: Suspects, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "mcp" or ".terminal.tools" in one]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    said = suspects("mcp")
    assert (said.code, said.out, "pip install 'usual-suspects[mcp]'" in said.err) == (1, "", True)


def test_no_other_command_loads_its_package() -> None:
    code = "import sys; import service.terminal.cli, service.main; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
