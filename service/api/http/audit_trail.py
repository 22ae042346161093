"""Writes the audit log: who changed something, or was refused, when and from where."""

from http import HTTPStatus

import sqlalchemy as sa
import structlog
from anyio import to_thread
from asgi_correlation_id import correlation_id
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.client_address import client_address
from service.api.http.session_cookie import SESSION
from service.domain.access import Caller
from service.logs import without_secret
from service.services import Services
from service.store import audit_log

log = structlog.get_logger()

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({401, 403})
_GUESSED = frozenset({401, 429})  # a wrong key, or one of an address that is locked out
_LONGEST_METHOD, _LONGEST_PATH = 20, 2000  # characters


class AuditTrail:
    """ASGI middleware: one entry for each request of somebody that is not only reading or is a sign-in, or is refused for its scopes.

    Who is nobody, because no key was sent, is in the log of the process alone: otherwise anyone could fill the database. Wrong keys
    and sign-ins that fail have as many entries from one address as lock it out, and one more while it is.
    The entry is written after the answer. Where the database cannot be reached then, the log of the process has it.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            if self._is_news(scope, status):
                await to_thread.run_sync(self._record, scope, status, correlation_id.get())

    def _is_news(self, scope: Scope, status: int) -> bool:
        state = scope.get("state", {})
        is_change, is_sign_in = scope["method"] not in _READING, state.get("is_logged", False)
        if state.get("caller") is not None:
            return is_change or is_sign_in or status in _REFUSED
        if status < HTTPStatus.BAD_REQUEST:
            return is_change or is_sign_in  # by the secret path of a connection
        if not is_sign_in and (status not in _GUESSED or not _sends_key(scope)):
            return False
        return self._services.quotas.is_news(client_address(scope), locked_out=status == HTTPStatus.TOO_MANY_REQUESTS)

    def _record(self, scope: Scope, status: int, request_id: str | None) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        entry = {
            "at": self._services.now(),
            "project": None if caller is None else caller.project,
            "key": None if caller is None else caller.key,
            "name": None if caller is None else caller.name or caller.logged_as,
            "address": client_address(scope) or None,
            "method": scope["method"][:_LONGEST_METHOD],
            "path": without_secret(scope["path"])[:_LONGEST_PATH].replace("\0", ""),
            "status": status,
            "request_id": request_id,
        }
        try:
            with self._services.database.write() as connection:
                audit_log.add(connection, **entry)
        except sa.exc.SQLAlchemyError as error:
            log.warning("the audit log could not be written", error=str(error), **{**entry, "at": str(entry["at"])})


def _sends_key(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "authorization" in headers or f"{SESSION}=" in headers.get("cookie", "")
