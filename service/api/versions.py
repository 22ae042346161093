"""Corrected versions of a dataset, and its verified samples."""

from fastapi import APIRouter, Depends, Request, Response

from service.actions.find import find_dataset
from service.actions.make_version import make_version_of
from service.actions.once import make_once
from service.actions.verified import verified
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import VERSION_BODY
from service.api.schemas.datasets import DatasetView, VerifiedPage, VersionList
from service.api.views.datasets import dataset_views
from service.domain.dataset import VersionRequest
from service.domain.digests import canonical_digest
from service.store import versions
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["reviews"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.post(
    "/datasets/{dataset_id}/versions",
    status_code=201,
    summary="Correct a dataset",
    responses=problems(400, 404, 409, 410, 413, 415, 422, 507),
    openapi_extra=VERSION_BODY,
)
def create_version(
    dataset_id: str, body: JsonBody, key: IdempotencyKey, services: ServicesDependency, response: Response
) -> DatasetView:
    """A new dataset without the removed samples and with corrected labels. The original does not change.

    `suggestions` also gives its suggested label to every sample that the job flags as mislabeled and nobody reviewed.
    Ids stay the same, so that jobs over both can be compared. The same changes give the same dataset.
    """
    find_dataset(services, dataset_id)
    request = parsed(VersionRequest, body.value)
    once = IdempotentRequest(key, canonical_digest(f"POST /datasets/{dataset_id}/versions", request))
    made = make_once(services, once, lambda: make_version_of(services, dataset_id, request).id)
    response.headers["Location"] = f"/datasets/{made}"
    return dataset_views(services, [find_dataset(services, made)])[0]


@router.get("/datasets/{dataset_id}/versions", summary="What was made of a dataset", responses=problems(404))
def list_versions(dataset_id: str, services: ServicesDependency) -> VersionList:
    """The corrected datasets, oldest first; `lineage` says how each was made."""
    find_dataset(services, dataset_id)
    with services.database.read() as connection:
        found = versions.made_from(connection, dataset_id)
        line = versions.ancestors(connection, dataset_id)
    return VersionList(items=dataset_views(services, found), total=len(found), ancestors=line[1:])


@router.get(
    "/datasets/{dataset_id}/verified",
    summary="The samples that people have verified",
    responses=problems(400, 404, 422),
)
def list_verified(
    dataset_id: str,
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> VerifiedPage:
    """Samples that a person kept or relabelled. A job uses them all as its reference with `"reference": {"verified": true}`."""
    find_dataset(services, dataset_id)
    query = ["verified", dataset_id]
    after: str = paging.decode(cursor, query, tuple[str])[0] if cursor is not None else ""
    every = verified(services, dataset_id)
    found = [name for name in every if name > after][: limit + 1]
    following = paging.encode(query, [found[limit - 1]]) if len(found) > limit else None
    paging.link_next(request, response, following)
    return VerifiedPage(items=found[:limit], next=following, total=len(every))
