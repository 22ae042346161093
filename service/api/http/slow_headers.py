"""Closes connections whose requests do not come: `uvicorn --http service.api.http.slow_headers:CutOffSlowHeaders`."""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.http.safe_headers import SAFE_HEADERS


def _refusal(status: HTTPStatus) -> bytes:
    """A whole answer, with the headers that all others have, too."""
    safe = "".join(f"{name}: {value}\r\n" for name, value in SAFE_HEADERS.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{safe}Connection: close\r\nContent-Length: 0\r\n\r\n".encode()


_INVALID = _refusal(HTTPStatus.BAD_REQUEST)
_TOO_LATE = _refusal(HTTPStatus.REQUEST_TIMEOUT)
_TOO_LARGE = _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


class CutOffSlowHeaders(HttpToolsProtocol):
    """HTTP/1.1 whose line and headers of a request must come whole within `within_s` seconds, however many pieces they come in.

    uvicorn waits for them for ever, so that a few thousand clients that send a byte a minute take all connections. A client that
    has begun a request is answered 408; one that only holds a connection is not. uvicorn also has no limit for the size of headers
    that httptools reads: more than `most_bytes` are answered 431.

    Between two requests a connection may be silent for the server's `timeout_keep_alive`. Of more than `most_silent` connections
    without a request the one that is silent for longest is closed, so that they cannot take all files that a process may open.
    """

    within_s: ClassVar[float] = 20.0
    most_bytes: ClassVar[int] = 64 * 1024
    most_silent: ClassVar[int] = 400  # systems often let a process open 1,024 files
    _silent: ClassVar[dict["CutOffSlowHeaders", None]] = {}  # of this process, in the order in which they fell silent

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_headers = self._in_body = False
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn narrows it
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has come."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.most_bytes:
                self._refuse(_TOO_LARGE)
        self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._stop_waiting()  # the time before it does not count
        self._in_headers, self._header_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The headers of a request have come whole."""
        self._in_headers, self._in_body = False, True
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self.most_bytes:
            self._refuse(_TOO_LARGE)
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come whole."""
        self._in_body = False
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request of the same connection."""
        super().on_response_complete()
        self._wait()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the interface
        """Refuse what is no HTTP."""
        self._refuse(_INVALID)

    def cut_off(self) -> None:
        """Close the connection, with an answer where a request has begun to come."""
        self._stop_waiting()
        if self._in_headers:
            self._refuse(_TOO_LATE)
        else:
            self.transport.close()

    def _wait(self) -> None:
        """Set the deadline where a request or its headers are awaited. More of them do not put it off."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self._in_body or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None:
            is_kept_alive = self.cycle is not None and not self._in_headers
            seconds = self.timeout_keep_alive if is_kept_alive else self.within_s
            self._deadline = self.loop.call_later(seconds, self.cut_off)
            if not self._in_headers:
                self._silent[self] = None
                if len(self._silent) > self.most_silent:
                    next(iter(self._silent)).cut_off()

    def _stop_waiting(self) -> None:
        self._silent.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()
