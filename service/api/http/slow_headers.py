"""Closes connections whose requests do not come: `uvicorn --http service.api.http.slow_headers:CutOffSlowHeaders`."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class CutOffSlowHeaders(H11Protocol):
    """HTTP/1.1 whose line and headers of a request must come whole within `within_s` seconds, however many pieces they come in.

    uvicorn waits for them for ever, so that a few thousand clients that send a byte a minute take all connections. A client that
    has begun a request is answered 408; one that only holds a connection is not.
    """

    within_s: ClassVar[float] = 20.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None

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
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request of the same connection."""
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        """Set the deadline where headers are awaited. More of them do not put it off."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.within_s, self._cut_off)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut_off(self) -> None:
        self._deadline = None
        some, _ = self.conn.trailing_data
        if some:
            self.transport.write(_TOO_LATE)
        self.transport.close()
