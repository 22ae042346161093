"""URLs of other services, as clients give them."""

from urllib.parse import SplitResult, urlsplit


def parse_http_url(url: str) -> SplitResult:
    """Split an http or https URL. Raises ValueError, whose text never contains the URL: it may hold a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("must begin with http:// or https:// and name a host")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("must be printable ASCII without spaces; escape the rest")
    return parts
