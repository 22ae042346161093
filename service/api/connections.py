"""Connections to labelling tools. No token is ever shown again."""

from fastapi import APIRouter, Depends, Request, Response

from service.actions.connect import connect_tool, replace_backend_path, replace_token
from service.actions.delete import delete_unused_connection
from service.actions.find import find_connection
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import CONNECTION_BODY, TOKEN_BODY
from service.api.schemas.integrations import ConnectionPage, ConnectionSecret
from service.domain.connection import Connection, ConnectionRequest, TokenRequest
from service.domain.digests import canonical_digest
from service.store import connections
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["connections"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


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
    """The service tries the token at once. `seen` says whose token it is and how many projects it can see.

    The token is stored encrypted and never shown again. Legacy and personal access tokens are both accepted.
    """
    request = parsed(ConnectionRequest, body.value)
    digest = canonical_digest("POST /connections", request, request.token.get_secret_value())
    connection_id = connect_tool(services, request, IdempotentRequest(key, digest))
    response.headers["Location"] = f"/connections/{connection_id}"
    return find_connection(services, connection_id).shown


@router.get("/connections", summary="List the connections, newest first", responses=problems(400, 422))
def list_connections(
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> ConnectionPage:
    """The list does not contain secrets."""
    before = paging.by_time(cursor, ["connections"])
    with services.database.read() as connection:
        found, total = connections.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["connections"], found, limit)
    return ConnectionPage(items=items, next=following, total=total)


@router.get("/connections/{connection_id}", summary="One connection", responses=problems(404))
def get_connection(connection_id: str, services: ServicesDependency) -> Connection:
    """`seen` is from the last time that the token was tried."""
    return find_connection(services, connection_id).shown


@router.put(
    "/connections/{connection_id}/token",
    summary="Put another token in place",
    responses=problems(400, 404, 413, 415, 422),
    openapi_extra=TOKEN_BODY,
)
def rotate_token(connection_id: str, body: JsonBody, services: ServicesDependency) -> Connection:
    """The service tries the new token first. If it fails, the old one stays."""
    find_connection(services, connection_id)
    replace_token(services, connection_id, parsed(TokenRequest, body.value).token.get_secret_value())
    return find_connection(services, connection_id).shown


@router.post(
    "/connections/{connection_id}/backend",
    status_code=201,
    summary="Make a new secret path for the tool to call",
    responses=problems(404),
)
def make_backend(connection_id: str, services: ServicesDependency) -> ConnectionSecret:
    """The path is the address of a machine learning backend, for the tool's settings page, and of its webhook.

    It is shown only once. The previous path stops working.
    """
    path = replace_backend_path(services, connection_id)
    return ConnectionSecret(
        path=path, url=f"{services.settings.public_url}{path}" if services.settings.public_url else None
    )


@router.delete(
    "/connections/{connection_id}", status_code=204, summary="Forget a connection", responses=problems(404, 409)
)
def delete_connection(connection_id: str, services: ServicesDependency) -> None:
    """Its secrets are deleted too. Jobs that used it stay, but can no longer be pushed or reconciled."""
    delete_unused_connection(services, connection_id)
