"""Documentation: Swagger UI with local files only, and a text for agents."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from service.api.http.static import PAGE_HEADERS, WEB_FOLDER
from service.domain.errors import NotFound

router = APIRouter(include_in_schema=False)

_FOLDER = WEB_FOLDER / "documentation"
_FOR_AGENTS = Path(__file__).with_name("llms.txt")
_BUNDLE = Path(str(files("fastapi_offline"))) / "static"
_PARTS = {
    "swagger-ui.css": (_BUNDLE, "text/css"),
    "swagger-ui-bundle.js": (_BUNDLE, "text/javascript"),
    "documentation.js": (_FOLDER, "text/javascript"),
}


@router.get("/llms.txt")
async def get_text_for_agents() -> FileResponse:
    """How to use the API, in the form of llmstxt.org."""
    return FileResponse(_FOR_AGENTS, media_type="text/plain; charset=utf-8", headers=PAGE_HEADERS)


@router.get("/docs")
async def get_documentation() -> FileResponse:
    """Swagger UI of all operations."""
    return FileResponse(_FOLDER / "documentation.html", headers=PAGE_HEADERS)


@router.get("/docs/{name}")
async def get_documentation_part(name: str) -> FileResponse:
    """Script or style sheet of the documentation page."""
    if name not in _PARTS:
        raise NotFound(f"the documentation page has no part {name}")
    folder, media_type = _PARTS[name]
    return FileResponse(folder / name, media_type=media_type, headers=PAGE_HEADERS)
