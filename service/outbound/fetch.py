"""Downloads a dataset from a URL."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from service.domain.errors import TooLarge
from service.domain.names import one_line
from service.outbound.addresses import invalid_url
from service.outbound.transport import AddressRule, PinnedTransport
from service.settings import Settings

_REDIRECTS = 5
_CHUNK = 2**20
_TIMEOUT = httpx.Timeout(20.0)  # for each step: connecting, one read, one write
_TOTAL_SECONDS = 3600
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "usual-suspects"}


@dataclass(frozen=True)
class Fetched:
    """A downloaded file; `digest` is the SHA-256 of its bytes in hexadecimal."""

    filename: str
    digest: str


def fetch(url: str, target: Path, settings: Settings) -> Fetched:
    """Write the file at `url` into `target`. Raises Invalid and TooLarge; `target` may then contain a part."""
    deadline = time.monotonic() + _TOTAL_SECONDS
    rule = AddressRule(settings.allow_private_urls, "SUSPECTS_ALLOW_PRIVATE_URLS")
    # trust_env: a netrc file of this machine must not add a password to the request.
    with httpx.Client(transport=PinnedTransport(rule), timeout=_TIMEOUT, trust_env=False) as client:
        for _ in range(_REDIRECTS + 1):
            try:
                with client.stream("GET", url, headers=_HEADERS) as response:
                    if not response.has_redirect_location:
                        return _save(response, url, target, settings.max_upload_bytes, deadline)
                    url = urljoin(url, response.headers["Location"])
            except httpx.InvalidURL as error:
                raise invalid_url("not a URL that can be fetched") from error
            except httpx.HTTPError as error:
                host = urlsplit(url).hostname
                raise invalid_url(f"{host} could not be read: {error or type(error).__name__}") from error
    raise invalid_url(f"more than {_REDIRECTS} redirects")


def _save(response: httpx.Response, url: str, target: Path, limit: int, deadline: float) -> Fetched:
    if response.status_code != httpx.codes.OK:
        raise invalid_url(f"answered {response.status_code}, not 200")
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in _chunks(response):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the file is larger than {limit:,} bytes, the limit of this installation")
            if time.monotonic() > deadline:
                raise invalid_url(f"took longer than {_TOTAL_SECONDS} seconds")
            digest.update(chunk)
            file.write(chunk)
    return Fetched(_filename(url), digest.hexdigest())


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    # As sent: a compressed file stays compressed, and cannot expand on the way.
    return response.iter_raw(_CHUNK)


def _filename(url: str) -> str:
    return one_line(unquote(urlsplit(url).path.rpartition("/")[2])) or "download"
