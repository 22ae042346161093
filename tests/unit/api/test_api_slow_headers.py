"""Connections whose requests do not come are closed."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.api.http.safe_headers import SAFE_HEADERS
from service.api.http.slow_headers import CutOffSlowHeaders

WITHIN_S, ANSWER_S, KEEP_ALIVE_S = 1, 1.3, 3
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Impatient(CutOffSlowHeaders):
    """The same, in a test's time."""

    within_s = WITHIN_S
    most_silent = 3


async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers later than a request may take to come."""
    await asyncio.sleep(ANSWER_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    server = uvicorn.Server(
        uvicorn.Config(
            slow,
            port=0,
            http=Impatient,
            lifespan="off",
            log_level="error",
            interface="asgi3",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join()


@contextmanager
def connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=10) as opened:
        yield opened


def until_closed(connection: socket.socket) -> bytes:
    """What comes before the other side closes the connection."""
    return b"".join(iter(lambda: connection.recv(1024), b""))


def test_headers_that_come_in_drops_are_cut_off_however_many_come(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        connection.settimeout(0.02)
        answer, drops = b"", iter(REQUEST[:-2] + b"X: y\r\n" * 60)
        for drop in drops:
            with contextlib.suppress(OSError):
                connection.send(bytes([drop]))
            try:
                answer = connection.recv(1024)
            except TimeoutError:
                continue
            break
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert next(drops, None) is not None


def test_a_connection_on_which_nothing_is_sent_is_closed_without_an_answer(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        assert until_closed(connection) == b""


def answer_to(connection: socket.socket, request: bytes = REQUEST) -> bytes:
    connection.sendall(request)
    received = b""
    while not received.endswith(b"here"):
        piece = connection.recv(1024)
        assert piece, "closed before the answer was whole"
        received += piece
    return received


def test_a_connection_may_be_idle_between_two_requests_for_longer_than_headers_may_take(
    address: tuple[str, int],
) -> None:
    with connected(address) as connection:
        for pause_s in (0, 2 * WITHIN_S):
            time.sleep(pause_s)
            assert answer_to(connection).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        connection.sendall(b"\r\n")  # which begins no request, and so puts nothing off
        assert until_closed(connection) == b""
        assert KEEP_ALIVE_S - 0.5 < time.monotonic() - began < KEEP_ALIVE_S + 5


def test_headers_have_their_whole_time_after_an_idle_connection(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        answer_to(connection)
        time.sleep(KEEP_ALIVE_S - 0.5)
        connection.sendall(REQUEST[:-2])
        time.sleep(0.8)
        assert answer_to(connection, REQUEST[-2:]).startswith(b"HTTP/1.1 200 ")


def test_of_too_many_silent_connections_the_one_that_is_silent_for_longest_is_closed(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(connected(address))
        answer_to(idle)
        busy = stack.enter_context(connected(address))
        busy.sendall(REQUEST)
        time.sleep(0.1)
        for _ in range(Impatient.most_silent):
            stack.enter_context(connected(address))
        began = time.monotonic()
        assert until_closed(idle) == b""
        assert time.monotonic() - began < 1
        assert answer_to(busy, b"").startswith(b"HTTP/1.1 200 ")


def test_the_time_of_an_answer_does_not_count_nor_that_of_the_answer_before(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        for _ in range(2):
            connection.send(REQUEST)
            received = b""
            while not received.endswith(b"here"):
                received += connection.recv(1024)
            assert received.startswith(b"HTTP/1.1 200 ")


def test_a_second_request_that_does_not_come_whole_is_cut_off(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        connection.send(REQUEST + REQUEST[:-2])
        received = until_closed(connection)
    assert received.count(b"HTTP/1.1 200 ") == 1
    assert b"HTTP/1.1 408 " in received


@pytest.mark.parametrize("pieces", [1, 2_000])
def test_headers_of_more_than_64_kib_are_refused_however_they_come(address: tuple[str, int], pieces: int) -> None:
    headers = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 60) for number in range(2_000))
    sent = REQUEST[:-2] + headers + REQUEST[-2:]
    size = len(sent) // pieces + 1
    with connected(address) as connection:
        with contextlib.suppress(OSError):  # the other side may have closed before all was sent
            for start in range(0, len(sent), size):
                connection.send(sent[start : start + size])
        assert connection.recv(1024).startswith(b"HTTP/1.1 431 ")


def test_a_large_body_is_read_whatever_its_size(address: tuple[str, int]) -> None:
    body = b"z" * 1_000_000
    with connected(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        received = b""
        while not received.endswith(b"here"):
            received += connection.recv(1024)
    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no HTTP\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\n", 408),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n", 431),
    ],
)
def test_what_is_refused_before_it_is_a_request_tells_browsers_to_be_careful(
    address: tuple[str, int], sent: bytes, status: int
) -> None:
    with connected(address) as connection:
        connection.sendall(sent)
        answer = until_closed(connection)
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head[0].startswith(f"HTTP/1.1 {status} ")
    assert {f"{name}: {value}" for name, value in SAFE_HEADERS.items()} <= set(head)
