"""Compresses JSON answers for clients that accept gzip; streams and files pass as they are."""

import gzip
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LEAST = 1_000  # bytes; shorter answers gain nothing
_LEVEL = 4
_JSON = ("application/json", "application/problem+json")


class CompressJson:
    """ASGI middleware. Starlette's own would also compress images and Parquet, and buffer streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http" or not _accepts(Headers(scope=scope).get("accept-encoding", "")):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def compress(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_json(message):
                held.append(message)
                return
            if held:
                await send(_compressed(held.pop(), message))
            await send(message)

        await self._app(scope, receive, compress)


def _accepts(header: str) -> bool:
    """Whether gzip is among the accepted encodings (RFC 9110, 12.5.3), with a weight above 0."""
    for one in header.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "").rstrip("0").rstrip(".") != "q="
    return False


def _is_json(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").partition(";")[0] in _JSON and "content-encoding" not in headers


def _compressed(start: Message, body: dict[str, Any] | Message) -> Message:
    """The start of the answer; its body, if it is whole and long enough, is compressed in place."""
    headers = MutableHeaders(raw=start["headers"])
    headers.add_vary_header("Accept-Encoding")
    content = body.get("body", b"")
    if not body.get("more_body", False) and len(content) >= _LEAST:
        body["body"] = gzip.compress(content, _LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body["body"]))
    return start
