"""Entity tags of JSON answers: a client that has an answer already is told that it still holds (RFC 9110, 13.1.2)."""

import hashlib
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BYTES = 16
# A 304 tells no length and no type of a body that it has not.
_OF_BODY = ("content-length", "content-type")


class AnswerUnchanged:
    """ASGI middleware: GET answers that are whole JSON get an `ETag`, and `If-None-Match` with that tag a 304 without a body.

    The tag is a digest of the answer, so that it is right whatever the answer is made of. It is weak, as answers are compressed
    for some clients.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def tag(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_whole_json(message):
                held.append(message)
                return
            if held:
                start = held.pop()
                if not message.get("more_body", False):
                    message = _tagged(start, message, Headers(scope=scope).get("if-none-match", ""))
                await send(start)
            await send(message)

        await self._app(scope, receive, tag)


def _is_whole_json(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    is_json = headers.get("content-type", "").partition(";")[0] == "application/json"
    return start["status"] == HTTPStatus.OK and is_json and "etag" not in headers


def _tagged(start: Message, message: Message, known: str) -> dict[str, Any] | Message:
    """The body to be sent; `start` gets the tag, and becomes a 304 where the client has the answer."""
    digest = hashlib.blake2b(message.get("body", b""), digest_size=_BYTES).hexdigest()
    headers = MutableHeaders(raw=start["headers"])
    headers["ETag"] = f'W/"{digest}"'
    if not any(one.strip().removeprefix("W/") in (f'"{digest}"', "*") for one in known.split(",")):
        return message
    start["status"] = HTTPStatus.NOT_MODIFIED.value
    for name in _OF_BODY:
        del headers[name]
    return {**message, "body": b""}
