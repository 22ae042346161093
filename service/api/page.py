"""The web page: the built files of service/web, by name."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from service.api.http.static import PAGE_HEADERS, WEB_FOLDER, file_response
from service.domain.errors import NotFound
from service.domain.exports import EXPORT_FORMATS
from service.ingest.rewritten.forms import FORMS

router = APIRouter(include_in_schema=False)

_BUILT = WEB_FOLDER / "built"
_NOT_BUILT = """<!doctype html><html lang="en"><title>Usual Suspects</title><h1>The page is not built</h1>
<p>Run <code>make page</code> in the project's folder, then load this page again. The API works: <a href="/docs">/docs</a>.</p>
"""
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


@router.get("/")
async def get_page(accept_encoding: Annotated[str, Header()] = "") -> Response:
    """The page."""
    if not (_BUILT / "index.html").is_file():
        return HTMLResponse(_NOT_BUILT, 503, headers=PAGE_HEADERS)
    return file_response(_BUILT / "index.html", "text/html", accept_encoding)


@router.get("/web/exports.json")
async def list_export_formats() -> list[dict[str, Any]]:
    """Formats of a whole ranking, for the menu of downloads; modalities: the data that a labelling tool takes."""
    return [{"name": one.name, "title": one.title, "modalities": one.modalities} for one in EXPORT_FORMATS.values()]


@router.get("/web/written-forms.json")
async def list_written_forms() -> list[str]:
    """How `inferred.format` begins of uploads that can be given back corrected in their own form, for the menu of downloads."""
    return [*FORMS]


@router.get("/web/{name:path}")
async def get_part(name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """Script, style sheet or picture of the page."""
    path = (_BUILT / name).resolve()
    if not path.is_relative_to(_BUILT) or path.suffix not in _TYPES or not path.is_file():
        raise NotFound(f"the page has no part {name}")
    return file_response(path, _TYPES[path.suffix], accept_encoding, is_named_by_content=name.startswith("assets/"))
