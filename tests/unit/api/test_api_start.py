"""How the service starts."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.testclient import TestClient

from service.main import application, create_app, prepare_routes
from service.settings import Settings
from tests.log_lines import wait_for_line
from tests.servers import reserved_port


@contextmanager
def forwarded(port: int, socket_file: str) -> Iterator[None]:
    """A port of the loopback address behind which a server answers that listens on a socket file."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as inner:
                inner.connect(socket_file)
                back = threading.Thread(target=copy, args=(inner, self.request))
                back.start()
                copy(self.request, inner)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", port), Forward) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    """All bytes from one to the other, until the first ends."""
    while block := source.recv(65536):
        target.sendall(block)
    target.shutdown(socket.SHUT_WR)


def has_started(server: uvicorn.Server) -> bool:
    """Whether it answers; a thread changes it."""
    return server.started


def test_the_service_waits_for_its_database(
    settings: Settings, empty_postgres: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = sa.make_url(empty_postgres)
    folder = str(there.query.get("host") or there.host)
    if not folder.startswith("/"):
        pytest.skip("TEST_DATABASE_URL names no server on a socket file")
    with reserved_port() as port:
        url = there.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        app = create_app(settings.model_copy(update={"database_url": url}))
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for_line(capsys, "waiting for the database")
        assert not server.started
        with forwarded(port, f"{folder}/.s.PGSQL.{there.port or 5432}"):
            while not has_started(server):
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.02)
            address = server.servers[0].sockets[0].getsockname()[1]
            answer = httpx.get(
                f"http://127.0.0.1:{address}/readyz", params={"exclude": "worker"}, trust_env=False, timeout=30
            )
            server.should_exit = True
            thread.join()
    assert answer.status_code == httpx.codes.OK


def test_no_request_waits_for_routes_that_were_prepared(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    application._routes.cache_clear()
    prepare_routes()

    def prepare_again(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("fastapi.routing.get_dependant", prepare_again)
    with TestClient(create_app(settings)) as client:
        assert client.get("/healthz").is_success
