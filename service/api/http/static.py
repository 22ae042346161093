"""Where the files of the pages are, the headers that they are served with, and their compressed forms."""

from pathlib import Path

from fastapi.responses import FileResponse

WEB_FOLDER = Path(__file__).parents[2] / "web"
PAGE_HEADERS = {
    # Nothing from elsewhere may join the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# The build names these files by their content.
_NAMED_BY_CONTENT = {"Cache-Control": "public, max-age=31536000, immutable"}
_ENCODINGS = {"br": ".br", "gzip": ".gz"}


def file_response(
    path: Path, media_type: str, accept_encoding: str, *, is_named_by_content: bool = False
) -> FileResponse:
    """Answer with a file, in its compressed form where there is one and the client takes it."""
    headers = PAGE_HEADERS | (_NAMED_BY_CONTENT if is_named_by_content else {}) | {"Vary": "Accept-Encoding"}
    accepted = {
        part.split(";")[0].strip() for part in accept_encoding.split(",") if not part.replace(" ", "").endswith(";q=0")
    }
    for encoding, suffix in _ENCODINGS.items():
        compressed = path.with_name(path.name + suffix)
        if encoding in accepted and compressed.is_file():
            return FileResponse(compressed, media_type=media_type, headers=headers | {"Content-Encoding": encoding})
    return FileResponse(path, media_type=media_type, headers=headers)
