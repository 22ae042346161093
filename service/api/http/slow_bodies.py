"""Cuts off clients that send the body of a request too slowly, so that they do not hold connections and uploads."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.errors import TooSlow

_LEAST_RATE = 1_000  # bytes a second, on average


class CutOffSlowBodies:
    """ASGI middleware: a body that pauses for `pause_s`, or that comes at less than 1 kB/s after that time, raises TooSlow."""

    def __init__(self, app: ASGIApp, pause_s: float) -> None:
        self._app, self._pause_s = app, pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        whole, begun, size = False, time.monotonic(), 0

        async def receive_in_time() -> Message:
            nonlocal whole, size
            if whole:  # now the end of the connection is waited for
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._pause_s)
            except TimeoutError:
                raise self._too_slow() from None
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            size += len(message.get("body", b""))
            if not whole and size < _LEAST_RATE * (time.monotonic() - begun - self._pause_s):
                raise self._too_slow()
            return message

        await self._app(scope, receive_in_time, send)

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"the body of the request pauses for {self._pause_s:g} s, or comes at less than {_LEAST_RATE:,} bytes a second; "
            "send it again without pauses, or raise SUSPECTS_BODY_SECONDS"
        )
