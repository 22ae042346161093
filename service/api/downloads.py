"""Datasets as files."""

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request

from service.actions.download import FORMATS, OWN_FORMS, download
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import ServicesDependency
from service.api.http.streamed import StreamedResponse
from service.api.http.wanted import check_wanted
from service.domain.errors import invalid
from service.domain.spreadsheet import HEADERS, RAW
from service.ingest.streams import gathered
from service.ingest.writers.view import ADDED

router = APIRouter(tags=["datasets"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_FILE: dict[str, Any] = {
    "description": "The file, streamed.",
    "content": {
        kind: {} for kind in ("application/octet-stream", *(one.media_type.split(";")[0] for one in OWN_FORMS.values()))
    },
}


@router.get(
    "/datasets/{dataset_id}/download",
    summary="The dataset as a file, corrected where it is a corrected one",
    response_class=StreamedResponse,
    responses=problems(404, 409, 413, 422, 429, 507) | {200: _FILE},
)
def download_dataset(
    dataset_id: str,
    request: Request,
    services: ServicesDependency,
    form: Annotated[
        str,
        Query(
            alias="format",
            description="original: the upload in the form it came in; of a corrected dataset with labels changed in place and removed "
            "samples gone, and everything else as it was. csv, parquet, jsonl: the samples as the service has them, with your names "
            "of columns. manifest: path, old and new label, decision and reviewer of each sample. zip: images in folders of their "
            "classes.",
            json_schema_extra={"enum": [*FORMATS]},
        ),
    ] = "original",
    columns: Annotated[
        str | None,
        Query(description=f"Columns to add, with commas between: {', '.join(ADDED)}.", examples=[",".join(ADDED)]),
    ] = None,
    raw: Annotated[bool, Query(description=RAW)] = False,
) -> StreamedResponse:
    """An upload that was not corrected comes back byte for byte.

    409 where the dataset is not to be had in this form; `formats` names those in which it is. Uploads are not kept of trainings,
    of datasets pulled over a connection, and where `SUSPECTS_KEEP_UPLOADS` is false.
    """
    if form not in FORMATS:
        raise invalid(["query", "format"], f"must be one of {', '.join(FORMATS)}")
    asked = tuple(filter(None, (columns or "").split(",")))
    file = download(services, dataset_id, form, asked, raw=raw, check=partial(check_wanted, request))
    headers = {
        "Content-Disposition": _attachment(file.name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if form != "original" and not raw and file.media_type.startswith("text/csv"):
        headers |= HEADERS
    return StreamedResponse(gathered(file.content), media_type=file.media_type, headers=headers)


def _attachment(name: str) -> str:
    """A header that names the file, in ASCII and as it is (RFC 6266)."""
    plain = "".join(one if one.isascii() and one.isprintable() and one not in '"\\/' else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
