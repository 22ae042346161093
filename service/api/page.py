"""The web page: static files by name, and its menu of downloads."""

import json

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from service.api.http.static import PAGE_HEADERS, WEB_FOLDER
from service.domain.errors import NotFound
from service.domain.exports import EXPORT_FORMATS

router = APIRouter(include_in_schema=False)

_STYLES = ("page.css", "sample.css")
_SCRIPTS = (
    "page.js",
    "api.js",
    "dom.js",
    "charts.js",
    "submit.js",
    "reading.js",
    "jobs.js",
    "job.js",
    "ranking.js",
    "sample.js",
    "evidence.js",
    "reviews.js",
)
# Made of the list that the API reads, too: the page's menu of downloads.
_EXPORTS = "exports.js"
_EXPORTS_SCRIPT = f"""// Formats of a whole ranking; modalities: the data that a labelling tool takes, null for any.
export const EXPORT_FORMATS = {
    json.dumps(
        [{"name": one.name, "title": one.title, "modalities": one.modalities} for one in EXPORT_FORMATS.values()]
    )
};
"""
PARTS = dict.fromkeys(_STYLES, "text/css") | dict.fromkeys((*_SCRIPTS, _EXPORTS), "text/javascript")


@router.get("/")
async def get_page() -> FileResponse:
    """The page."""
    return FileResponse(WEB_FOLDER / "index.html", headers=PAGE_HEADERS)


@router.get("/web/{name}", response_class=Response)
async def get_part(name: str) -> Response:
    """Script or style sheet of the page."""
    if name not in PARTS:
        raise NotFound(f"the page has no part {name}")
    if name == _EXPORTS:
        return Response(_EXPORTS_SCRIPT, media_type=PARTS[name], headers=PAGE_HEADERS)
    return FileResponse(WEB_FOLDER / name, media_type=PARTS[name], headers=PAGE_HEADERS)
