"""Connections to labelling tools: made, tested, listed, rotated, deleted. No token is ever shown again."""

import secrets
from urllib.parse import urlsplit

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response

from service.actions.upload import made_before, request_digest
from service.api.http import paging
from service.api.http.bodies import JsonBody, parsed
from service.api.http.dependencies import IdempotencyKey, ServicesDependency, authorize
from service.api.http.errors import problems
from service.api.http.openapi import CONNECTION_BODY, TOKEN_BODY
from service.api.schemas.integrations import ConnectionPage, ConnectionSecret
from service.domain.connection import Connection, ConnectionCheck, ConnectionRequest, TokenKind, TokenRequest
from service.domain.errors import Conflict, FieldError, Invalid, NotFound, Upstream, invalid_fields
from service.domain.ids import new_id
from service.label_studio.client import LabelStudio, Refused
from service.label_studio.projects import backend_path
from service.services import Services
from service.store import connections, idempotency
from service.store.connections import EncryptedConnection

router = APIRouter(tags=["connections"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_DENIED = (401, 403)


@router.post(
    "/connections",
    status_code=201,
    summary="Connect a labelling tool",
    responses=problems(400, 413, 415, 422),
    openapi_extra=CONNECTION_BODY,
)
def create_connection(
    body: JsonBody, key: IdempotencyKey, services: ServicesDependency, response: Response
) -> Connection:
    """The token is tried at once; `seen` says whose it is and how many projects it can see.

    It is stored encrypted and never shown again. Both of Label Studio's kinds are taken, told apart by themselves.
    """
    request = parsed(ConnectionRequest, body.value)
    token = request.token.get_secret_value()
    asked = request_digest("POST /connections", request, token)
    connection_id = made_before(services, key, asked) or _create(services, key, asked, request, token)
    response.headers["Location"] = f"/connections/{connection_id}"
    return _found(services, connection_id).shown


def _create(services: Services, key: str | None, asked: str, request: ConnectionRequest, token: str) -> str:
    kind, seen = _tested(services, request.url, token)
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
    secret = services.vault.seal(secrets.token_urlsafe(32))
    try:
        with services.database.write() as connection:
            connections.add(connection, EncryptedConnection(shown, services.vault.seal(token), secret))
            if key is not None:
                idempotency.add(connection, key, asked, connection_id, now)
    except sa.exc.IntegrityError:
        # A request with the same key was quicker.
        made = made_before(services, key, asked)
        if made is None:
            raise
        return made
    return connection_id


def _tested(services: Services, url: str, token: str) -> tuple[TokenKind, ConnectionCheck]:
    """What the token is and can see. Raises Invalid naming the field that is at fault."""
    try:
        with LabelStudio(url, token, allow_private=services.settings.allow_private_connections) as client:
            return client.token_kind, client.seen()
    except Refused as error:
        raise _fault("token" if error.status in _DENIED else "url", error.detail) from error
    except Upstream as error:
        raise _fault("url", error.detail) from error


def _fault(field: str, msg: str) -> Invalid:
    return invalid_fields([FieldError(loc=[field], msg=msg)])


@router.get("/connections", summary="List the connections, newest first", responses=problems(400, 422))
def list_connections(
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> ConnectionPage:
    """Without their secrets."""
    before = paging.by_time(cursor, ["connections"])
    with services.database.read() as connection:
        found, total = connections.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["connections"], found, limit)
    return ConnectionPage(items=items, next=following, total=total)


@router.get("/connections/{connection_id}", summary="One connection", responses=problems(404))
def get_connection(connection_id: str, services: ServicesDependency) -> Connection:
    """What it showed when its token was tried last."""
    return _found(services, connection_id).shown


@router.put(
    "/connections/{connection_id}/token",
    summary="Put another token in place",
    responses=problems(400, 404, 413, 415, 422),
    openapi_extra=TOKEN_BODY,
)
def rotate_token(connection_id: str, body: JsonBody, services: ServicesDependency) -> Connection:
    """The new one is tried first; the old one stays where it fails."""
    found = _found(services, connection_id)
    token = parsed(TokenRequest, body.value).token.get_secret_value()
    kind, seen = _tested(services, found.shown.url, token)
    with services.database.write() as connection:
        connections.rotate_token(connection, connection_id, services.vault.seal(token), kind, seen, services.now())
    return _found(services, connection_id).shown


@router.post(
    "/connections/{connection_id}/backend",
    status_code=201,
    summary="Make a new secret path for the tool to call",
    responses=problems(404),
)
def make_backend(connection_id: str, services: ServicesDependency) -> ConnectionSecret:
    """The address of a machine learning backend for the tool's settings page, and of its webhook.

    It is shown this once. The path before it stops working.
    """
    _found(services, connection_id)
    secret = secrets.token_urlsafe(32)
    with services.database.write() as connection:
        connections.rotate_secret(connection, connection_id, services.vault.seal(secret))
    path = backend_path(connection_id, secret)
    return ConnectionSecret(
        path=path, url=f"{services.settings.public_url}{path}" if services.settings.public_url else None
    )


@router.delete(
    "/connections/{connection_id}", status_code=204, summary="Forget a connection", responses=problems(404, 409)
)
def delete_connection(connection_id: str, services: ServicesDependency) -> None:
    """With its secrets. Jobs that came over it stay, but can no longer be pushed or reconciled."""
    _found(services, connection_id)
    with services.database.write() as connection:
        waiting = connections.jobs_to_pull(connection, connection_id)
        if waiting:
            raise Conflict(
                f"{len(waiting)} jobs are still pulling over it; cancel them first", members={"jobs": waiting}
            )
        connections.remove(connection, connection_id)
        idempotency.remove_of(connection, connection_id)


def _found(services: Services, connection_id: str) -> EncryptedConnection:
    with services.database.read() as connection:
        found = connections.get_encrypted(connection, connection_id)
    if found is None:
        raise NotFound(f"no connection {connection_id}")
    return found
