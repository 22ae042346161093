"""The web page: three static files, which nothing from elsewhere may join."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent.parent / "web"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def get_page() -> FileResponse:
    """The page."""
    return FileResponse(_FOLDER / "index.html", headers=_HEADERS)


@router.get("/web/page.js")
async def get_script() -> FileResponse:
    """What it does."""
    return FileResponse(_FOLDER / "page.js", headers=_HEADERS)


@router.get("/web/page.css")
async def get_style() -> FileResponse:
    """How it looks."""
    return FileResponse(_FOLDER / "page.css", headers=_HEADERS)
