"""The web page: static files by name, which nothing from elsewhere may join."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.domain.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "web"
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
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def get_page() -> FileResponse:
    """The page."""
    return FileResponse(FOLDER / "index.html", headers=HEADERS)


@router.get("/web/{name}")
async def get_part(name: str) -> FileResponse:
    """What it does, and how it looks."""
    if name not in PARTS:
        raise NotFound(f"the page has no part {name}")
    return FileResponse(FOLDER / name, media_type=PARTS[name], headers=HEADERS)
