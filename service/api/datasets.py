"""Datasets: upload, list, show, delete; their rows and media."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from service.actions.delete import delete_unused_dataset
from service.actions.find import find_dataset
from service.actions.once import make_once
from service.actions.sample_dataset import create_sample_dataset
from service.actions.upload import upload, upload_from_url
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.bodies import Body, FormContent, JsonContent, names_connection, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import DATASET_BODY
from service.api.http.wanted import check_wanted
from service.api.schemas.datasets import (
    DatasetPage,
    DatasetProfile,
    DatasetSample,
    DatasetSamplePage,
    DatasetView,
    FromProject,
    FromUrl,
    SkippedPage,
)
from service.api.views.datasets import dataset_views, sample_page
from service.api.views.links import media_link, sample_link
from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.digests import canonical_digest
from service.domain.errors import NotFound, invalid
from service.ingest.profile import read_profile
from service.ingest.rows import sample_image, sample_media, sample_row
from service.ingest.skipped import read_skipped
from service.label_studio.pull.snapshot import snapshot
from service.services import Services
from service.store import datasets
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["datasets"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

# Media comes from clients: a browser must neither guess its type nor run it.
_MEDIA_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=86400, immutable",
}


@router.post(
    "/datasets",
    status_code=201,
    summary="Upload a dataset, or have it fetched",
    responses=problems(400, 404, 409, 413, 415, 422, 429, 502, 507),
    openapi_extra=DATASET_BODY,
)
def create_dataset(
    body: Body, key: IdempotencyKey, services: ServicesDependency, request: Request, response: Response
) -> DatasetView:
    """The data is an uploaded file, the content of a URL, or the labelled tasks of a labelling tool's project.

    The same bytes and spec, and the same tasks, give the same dataset. What `spec` leaves out is inferred, and
    `inferred` says how. Rows that cannot be used are skipped, and `GET /datasets/{id}/skipped` says why.

    A file is read before the answer, in a process of its own with limits of memory and time (413). Nothing is kept when the
    client goes away meanwhile.

    Tasks are read before the answer, too, which takes minutes for tens of thousands. POST /jobs reads them after its answer, and only a job that reads them itself can be pushed back.
    """
    info = _made(services, key, body, request)
    response.headers["Location"] = f"/datasets/{info.id}"
    return dataset_views(services, [info])[0]


def _made(services: Services, key: str | None, body: JsonContent | FormContent, request: Request) -> DatasetInfo:
    match body:
        case FormContent():
            spec = parsed(DatasetSpec, body.spec, "spec")
            digest = canonical_digest("POST /datasets", body.file.digest, spec)
            make = partial(upload, services, body.file, spec, partial(check_wanted, request))
        case JsonContent() if names_connection(body.value):
            tasks = parsed(FromProject, body.value)
            digest = canonical_digest("POST /datasets", tasks)
            make = partial(snapshot, services, tasks.source, tasks.name, _while_wanted(request))
        case JsonContent():
            wanted = parsed(FromUrl, body.value)
            digest = canonical_digest("POST /datasets", wanted)
            make = partial(upload_from_url, services, wanted.url, wanted.spec, partial(check_wanted, request))
    return find_dataset(services, make_once(services, IdempotentRequest(key, digest), lambda: make().id))


def _while_wanted(request: Request) -> Callable[[str, float], None]:
    """Progress callback of a long read. It raises ClientDisconnect once the client has gone away."""

    def tell(_detail: str, _share: float) -> None:
        check_wanted(request)

    return tell


@router.post(
    "/datasets/sample",
    status_code=201,
    summary="Make the sample dataset",
    responses=problems(429, 507),
)
def create_sample(services: ServicesDependency, response: Response) -> DatasetView:
    """A few hundred drawings of shapes, some of them in the folder of another shape, to try the service with.

    They are the same each time, and stored once.
    """
    info = create_sample_dataset(services)
    response.headers["Location"] = f"/datasets/{info.id}"
    return dataset_views(services, [info])[0]


@router.get("/datasets", summary="List the datasets, newest first", responses=problems(400, 422))
def list_datasets(
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> DatasetPage:
    """One page of all datasets."""
    before = paging.by_time(cursor, ["datasets"])
    with services.database.read() as connection:
        found, total = datasets.page(connection, before, limit + 1)
    items, following = paging.cut(request, response, ["datasets"], found, limit)
    # The columns of many wide tables would be most of the answer.
    items = [info.without_columns() for info in items]
    return DatasetPage(items=dataset_views(services, items), next=following, total=total)


@router.get("/datasets/{dataset_id}", summary="One dataset", responses=problems(404))
def get_dataset(dataset_id: str, services: ServicesDependency) -> DatasetView:
    """Its content, as it was read from the upload."""
    return dataset_views(services, [find_dataset(services, dataset_id)])[0]


@router.get("/datasets/{dataset_id}/samples", summary="Its rows in short", responses=problems(400, 404, 422))
def list_samples(
    dataset_id: str,
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
    offset: Annotated[
        int | None, Query(ge=0, lt=2**63, description="Row to begin at, from 0; instead of a cursor.")
    ] = None,
) -> DatasetSamplePage:
    """In the order of the upload, held out rows too."""
    info = find_dataset(services, dataset_id)
    if cursor is not None and offset is not None:
        raise invalid(["query", "offset"], "goes without a cursor: a cursor says itself where a page begins")
    marked = ["samples", dataset_id]
    start = offset or 0 if cursor is None else paging.decode(cursor, marked, tuple[paging.Index])[0]
    items = sample_page(services, info, start, limit)
    following = paging.encode(marked, [start + limit]) if start + limit < info.rows else None
    paging.link_next(request, response, following)
    return DatasetSamplePage(items=items, next=following, total=info.rows)


@router.get("/datasets/{dataset_id}/profile", summary="Values of its inputs, by class", responses=problems(404))
def show_profile(dataset_id: str, services: ServicesDependency) -> DatasetProfile:
    """Quantiles of numbers and frequencies of categories, to see what is unusual in a class; typical words of texts.

    Computed once, when first asked. Images and vectors have none. `left_out` says what a large dataset has beyond the first 200 inputs, the largest 100
    classes and about 200,000 rows.
    """
    info = find_dataset(services, dataset_id)
    blobs = services.blobs
    return DatasetProfile.model_validate(read_profile(blobs.canonical(info.id), blobs.profile(info.id)))


@router.delete(
    "/datasets/{dataset_id}",
    status_code=204,
    summary="Delete a dataset that no job uses",
    responses=problems(404, 409),
)
def delete_dataset(dataset_id: str, services: ServicesDependency) -> None:
    """Its files are deleted too. While jobs use it, finished ones included, the answer is 409: delete them first."""
    delete_unused_dataset(services, dataset_id)


@router.get(
    "/datasets/{dataset_id}/skipped", summary="What was left out of it, and why", responses=problems(400, 404, 422)
)
def list_skipped(
    dataset_id: str,
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> SkippedPage:
    """Skipped rows are in the order of the upload, each with its reason."""
    info = find_dataset(services, dataset_id)
    query = ["skipped", dataset_id]
    offset = paging.decode(cursor, query, tuple[int])[0] if cursor is not None else 0
    try:
        items, after = read_skipped(services.blobs.skipped(dataset_id), offset, limit)
    except LookupError as error:
        raise paging.bad_cursor() from error
    following = paging.encode(query, [after]) if after is not None else None
    paging.link_next(request, response, following)
    return SkippedPage(items=items, next=following, total=info.skipped_rows)


@router.get(
    "/datasets/{dataset_id}/samples/{sample_id:path}/media",
    summary="The image or text of one row",
    response_class=Response,
    responses=problems(404, 422)
    | {
        200: {
            "description": "As it was uploaded, or a PNG where `side` is given.",
            "content": {"image/*": {}, "text/plain": {}},
        }
    },
)
async def get_media(
    dataset_id: str,
    sample_id: str,
    request: Request,
    services: ServicesDependency,
    side: Annotated[
        int | None,
        Query(
            ge=8,
            le=2048,
            description="An image as a PNG of 8 bits, upright, this wide and high at most: as browsers show it, which know no "
            "TIFF, and show 10 to 14 bits in 16 nearly black.",
        ),
    ] = None,
) -> Any:
    """Only rows of image and text datasets have media."""
    # An id may itself end in "/media". Links escape every slash of an id, so that the path as sent tells them apart.
    sent: bytes = request.scope.get("raw_path") or b"/media"
    if not sent.partition(b"?")[0].endswith(b"/media"):
        return await run_in_threadpool(_named_media, services, dataset_id, sample_id)
    if side is None:
        return await run_in_threadpool(_media, services, dataset_id, sample_id)
    data = await run_in_threadpool(_data, services, dataset_id)
    key = (dataset_id, sample_id, side)
    drawn = services.thumbnails.kept(key)
    if drawn is None:
        drawn = await services.thumbnails.draw(key, partial(sample_image, data, sample_id), side)
    if drawn is None:
        return await run_in_threadpool(_media, services, dataset_id, sample_id)
    return Response(drawn, media_type="image/png", headers=_MEDIA_HEADERS)


def _media(services: Services, dataset_id: str, sample_id: str) -> Response:
    found = sample_media(_data(services, dataset_id), sample_id)
    if found is None:
        return _named_media(services, dataset_id, sample_id)
    return Response(found[0], media_type=found[1], headers=_MEDIA_HEADERS)


def _named_media(services: Services, dataset_id: str, sample_id: str) -> JSONResponse:
    """The sample whose id ends in "/media". Raises NotFound where there is none."""
    row = sample_row(_data(services, dataset_id), f"{sample_id}/media")
    if row is None:
        raise NotFound(f"no image or text called {sample_id!r} in this dataset")
    return JSONResponse(_sample(services, dataset_id, row).model_dump())


@router.get("/datasets/{dataset_id}/samples/{sample_id:path}", summary="One row of a dataset", responses=problems(404))
def get_sample(dataset_id: str, sample_id: str, services: ServicesDependency) -> DatasetSample:
    """Features have the names that they have in the upload."""
    row = sample_row(_data(services, dataset_id), sample_id)
    if row is None:
        raise NotFound(f"no sample called {sample_id!r} in this dataset")
    return _sample(services, dataset_id, row)


def _sample(services: Services, dataset_id: str, row: dict[str, Any]) -> DatasetSample:
    info = find_dataset(services, dataset_id)
    links = {"self": sample_link(dataset_id, row["id"]), "media": media_link(info, row["id"])}
    return DatasetSample.model_validate({**row, "links": links})


def _data(services: Services, dataset_id: str) -> Path:
    """The canonical file of a dataset. Raises NotFound as long as its tasks are still to be pulled."""
    find_dataset(services, dataset_id)
    data = services.blobs.canonical(dataset_id)
    if not data.exists():
        raise NotFound(f"the dataset {dataset_id} has no samples yet: its tasks are still to be pulled")
    return data
