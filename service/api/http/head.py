"""HEAD: the status and the headers of GET, and nothing else (RFC 9110, 9.3.2)."""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.observe import ASKED_METHOD


class AnswerHead:
    """ASGI middleware: what is inside of it answers GET. Files and streams of events are ended when their content begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_sent, has_more = False, asyncio.Event()

        async def send_head(message: Message) -> None:
            nonlocal is_sent
            if message["type"] == "http.response.start":
                await send(message)
            elif not is_sent:
                is_sent = True
                await send({"type": "http.response.body", "body": b""})
                if message.get("more_body", False):
                    has_more.set()

        inside: Scope = {**scope, "method": "GET", ASKED_METHOD: "HEAD"}
        answering = asyncio.ensure_future(self._app(inside, receive, send_head))
        content = asyncio.ensure_future(has_more.wait())
        try:
            await asyncio.wait((answering, content), return_when=asyncio.FIRST_COMPLETED)
        finally:
            content.cancel()
            if not answering.done():
                answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
