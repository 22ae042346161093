"""What a client does when its connection is closed, with a server of a few lines."""

import socket
import threading
from collections.abc import Iterator

import pytest

from usual_suspects.client import Client
from usual_suspects.client.errors import Unreachable

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class ClosingServer:
    """Answers the first request of each connection, reads the second one and closes the connection without an answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop, with the socket."""
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if not self._read(connection):
                    return
                connection.sendall(ANSWER)
                self._read(connection)

    def _read(self, connection: socket.socket) -> bool:
        """Whether a request has come."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = connection.recv(4096)
            if not piece:
                return False
            received += piece
        self.asked.append(received.split(b" ", 1)[0].decode())
        return True


@pytest.fixture
def closing() -> Iterator[ClosingServer]:
    server = ClosingServer()
    yield server
    server.close()


def test_a_get_on_a_connection_that_closes_before_the_answer_is_sent_again(closing: ClosingServer) -> None:
    with Client(closing.url, retries=1) as client:
        for _ in range(2):
            assert client.get("jobs", "job_1") == {}
    assert closing.asked == ["GET"] * 3


def test_a_post_that_cannot_be_sent_twice_is_not(closing: ClosingServer) -> None:
    with Client(closing.url, retries=1) as client:
        client.get("jobs", "job_1")
        with pytest.raises(Unreachable):
            client.post("jobs", "job_1", "cancel")
    assert closing.asked == ["GET", "POST"]
