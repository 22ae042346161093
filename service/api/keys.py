"""Keys of callers, and the audit log of what was done with them."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.actions.keys import create_key, find_key, revoke_key, rotate_key
from service.api.http import paging
from service.api.http.authentication import CallerDependency, authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import KEY_BODY, ROTATE_BODY
from service.api.schemas.keys import AuditLogPage, KeyPage
from service.domain.access import CreatedKey, KeyRequest, KeyView, RotateRequest
from service.services import Services
from service.store import audit_log, keys

router = APIRouter(tags=["keys"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


def _administered(request: Request, caller: CallerDependency, services: ServicesDependency) -> Services:
    """Services over the keys of every project for an operator, else over those of the caller's project."""
    everything: Services = request.app.state.services
    return everything if caller.is_operator else services


Administered = Annotated[Services, Depends(_administered)]


@router.post(
    "/keys",
    status_code=201,
    summary="Create a key",
    responses=problems(400, 413, 415, 422),
    openapi_extra=KEY_BODY,
)
def create(body: JsonBody, caller: CallerDependency, services: Administered, response: Response) -> CreatedKey:
    """`key` is shown in this answer alone. From the first key on, every request needs one.

    A key sees the resources of its project; those of others are answered 404. A key with the scope admin in the project
    `default` creates keys of every project, another one keys of its own project.
    """
    created = create_key(services, caller, parsed(KeyRequest, body.value))
    response.headers["Location"] = f"/keys/{created.id}"
    return created


@router.get("/keys", summary="List the keys, newest first", responses=problems(400, 422))
def list_keys(
    request: Request,
    services: Administered,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> KeyPage:
    """The list has no secrets. Keys of SUSPECTS_API_KEYS are not in it: they are admin keys of the project `default`."""
    before = paging.by_time(cursor, ["keys"])
    with services.database.read() as connection:
        found, total = keys.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["keys"], found, limit)
    return KeyPage(items=items, next=following, total=total)


@router.get("/keys/{key_id}", summary="One key", responses=problems(404))
def get_key(key_id: str, caller: CallerDependency, services: Administered) -> KeyView:
    """`last_used_at` is to the minute."""
    return find_key(services, caller, key_id)


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    summary="Replace a key without a restart",
    responses=problems(400, 404, 409, 413, 415, 422),
    openapi_extra=ROTATE_BODY,
)
def rotate(
    key_id: str, body: JsonBody, caller: CallerDependency, services: Administered, response: Response
) -> CreatedKey:
    """A new key with the same name, scopes, project and quota. The old one is accepted for `grace_seconds` more."""
    grace = timedelta(seconds=parsed(RotateRequest, body.value).grace_seconds)
    created = rotate_key(services, caller, key_id, grace)
    response.headers["Location"] = f"/keys/{created.id}"
    return created


@router.delete("/keys/{key_id}", status_code=204, summary="Revoke a key", responses=problems(404, 409))
def revoke(key_id: str, caller: CallerDependency, services: Administered) -> None:
    """The key is refused from the next request on."""
    revoke_key(services, caller, key_id)


@router.get("/audit-log", summary="Who did what, newest first", responses=problems(400, 422))
def list_audit_log(
    request: Request,
    caller: CallerDependency,
    services: Administered,
    response: Response,
    key: Annotated[str | None, Query(description="Only what was done with this key: its id.")] = None,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> AuditLogPage:
    """Requests that changed something, and those that were refused for their key. Entries are never changed or deleted.

    An admin key of the project `default` sees the entries of every project, another one those of its own.
    """
    query = ["audit-log", caller.project, key]
    before = None if cursor is None else paging.decode(cursor, query, tuple[paging.Index])[0]
    with services.database.read() as connection:
        found = audit_log.page(connection, key=key, before=before, limit=limit + 1)
    items = found[:limit]
    following = paging.encode(query, [items[-1].seq]) if len(found) > limit else None
    paging.link_next(request, response, following)
    return AuditLogPage(items=list(items), next=following)
