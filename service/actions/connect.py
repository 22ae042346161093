"""Connecting a labelling tool: its token is tried first, and stored encrypted."""

import secrets
from urllib.parse import urlsplit

from service.actions.find import find_connection
from service.actions.once import create_once, made_before
from service.domain.connection import Connection, ConnectionCheck, ConnectionRequest, TokenKind
from service.domain.errors import Upstream, invalid
from service.domain.ids import new_id
from service.label_studio.client import LabelStudio
from service.label_studio.projects import backend_path
from service.label_studio.session import Refused
from service.services import Services
from service.store import connections
from service.store.connections import EncryptedConnection
from service.store.idempotency import IdempotentRequest

_DENIED = (401, 403)


def connect_tool(services: Services, request: ConnectionRequest, once: IdempotentRequest) -> str:
    """Id of the connection, made now unless an earlier request with the same key made it.

    Raises Invalid for a URL or a token that the tool does not answer to.
    """
    known = made_before(services, once)
    if known is not None:
        return known
    token = request.token.get_secret_value()
    kind, seen = _tried(services, request.url, token)
    connection_id, now = new_id("con_"), services.now()
    shown = Connection(
        id=connection_id,
        kind=request.kind,
        name=request.name or urlsplit(request.url).netloc,
        url=request.url,
        token_kind=kind,
        seen=seen,
        tested_at=now,
        created_at=now,
    )
    sealed = EncryptedConnection(shown, services.vault.seal(token), services.vault.seal(secrets.token_urlsafe(32)))
    return create_once(services, once, connection_id, lambda connection: connections.add(connection, sealed))


def replace_token(services: Services, connection_id: str, token: str) -> None:
    """Put another token in place, which is tried first; the old one stays where that fails.

    Raises NotFound, and Invalid as connect_tool.
    """
    found = find_connection(services, connection_id)
    kind, seen = _tried(services, found.shown.url, token)
    with services.database.write() as connection:
        connections.rotate_token(connection, connection_id, services.vault.seal(token), kind, seen, services.now())


def replace_backend_path(services: Services, connection_id: str) -> str:
    """A new secret path under which the tool calls this service; the one before stops working. Raises NotFound."""
    find_connection(services, connection_id)
    secret = secrets.token_urlsafe(32)
    with services.database.write() as connection:
        connections.rotate_secret(connection, connection_id, services.vault.seal(secret))
    return backend_path(connection_id, secret)


def _tried(services: Services, url: str, token: str) -> tuple[TokenKind, ConnectionCheck]:
    """What the token is and can see. Raises Invalid naming the field that is at fault."""
    try:
        with LabelStudio(url, token, allow_private=services.settings.allow_private_connections) as client:
            return client.token_kind, client.check()
    except Refused as error:
        raise invalid(["token" if error.status in _DENIED else "url"], error.detail) from error
    except Upstream as error:
        raise invalid(["url"], error.detail) from error
