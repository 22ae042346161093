"""The web page: static files by name, which nothing from elsewhere may join."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.api.http.static import PAGE_HEADERS, WEB_FOLDER
from service.domain.errors import NotFound

router = APIRouter(include_in_schema=False)

_STYLES = ("page.css", "sample.css")
_SCRIPTS = (
    "page.js",
    "api.js",
    "dom.js",
    "charts.js",
    "submit.js",
    "jobs.js",
    "job.js",
    "ranking.js",
    "sample.js",
    "evidence.js",
    "reviews.js",
)
PARTS = dict.fromkeys(_STYLES, "text/css") | dict.fromkeys(_SCRIPTS, "text/javascript")


@router.get("/")
async def get_page() -> FileResponse:
    """The page."""
    return FileResponse(WEB_FOLDER / "index.html", headers=PAGE_HEADERS)


@router.get("/web/{name}")
async def get_part(name: str) -> FileResponse:
    """What it does, and how it looks."""
    if name not in PARTS:
        raise NotFound(f"the page has no part {name}")
    return FileResponse(WEB_FOLDER / name, media_type=PARTS[name], headers=PAGE_HEADERS)
