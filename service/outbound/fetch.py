"""Fetch a dataset by its URL, without being led into the network that the service stands in.

Every address that a name resolves to is checked before a connection is made, at each redirect anew, and the
connection goes to the address that was checked: a second look-up cannot give another one.
"""

import hashlib
import ipaddress
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from service.domain.errors import FieldError, Invalid, TooLarge
from service.settings import Settings

_REDIRECTS = 5
_CHUNK = 2**20
_SILENCE = httpx.Timeout(20.0)
_TOTAL_SECONDS = 3600
_PORTS = {"http": 80, "https": 443}
_HIDDEN_IN_IPV6 = tuple(map(ipaddress.ip_network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")))


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched; `digest` is the SHA-256 of its bytes in hexadecimal."""

    filename: str
    digest: str


@dataclass(frozen=True)
class Target:
    """A URL, and the address that was found good for it."""

    url: str
    scheme: str
    host: str
    port: int
    address: str

    @property
    def pinned(self) -> str:
        """The URL with the address in place of the name."""
        parts = urlsplit(self.url)
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return urlunsplit((self.scheme, f"{shown}:{self.port}", parts.path or "/", parts.query, ""))

    @property
    def host_header(self) -> str:
        """What the server expects to be called."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"


def fetch(url: str, target: Path, settings: Settings) -> Fetched:
    """Write what `url` leads to into `target`. Raises Invalid and TooLarge; `target` may then hold a part."""
    deadline = time.monotonic() + _TOTAL_SECONDS
    # No proxy and no netrc of this machine: they would see, or lead to, more than the client may.
    with httpx.Client(timeout=_SILENCE, trust_env=False, follow_redirects=False) as client:
        for _ in range(_REDIRECTS + 1):
            checked = pin(url, allow_private=settings.allow_private_urls, setting="SUSPECTS_ALLOW_PRIVATE_URLS")
            request = client.build_request(
                "GET",
                checked.pinned,
                headers={"Host": checked.host_header, "Accept-Encoding": "identity", "User-Agent": "usual-suspects"},
                extensions={"sni_hostname": checked.host},
            )
            try:
                response = client.send(request, stream=True)
                try:
                    if not response.has_redirect_location:
                        return _save(response, url, target, settings.max_upload_bytes, deadline)
                    url = urljoin(url, response.headers["Location"])
                finally:
                    response.close()
            except httpx.InvalidURL as error:
                raise _refused("not a URL that can be fetched") from error
            except httpx.HTTPError as error:
                raise _refused(f"{checked.host} could not be read: {error or type(error).__name__}") from error
    raise _refused(f"more than {_REDIRECTS} redirects")


def pin(url: str, *, allow_private: bool, setting: str) -> Target:
    """The URL with the one address to connect to. Raises Invalid when it leads nowhere, or inside.

    `setting` is the name of what would allow private addresses, for the error's text.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(f"not a URL: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise _refused("must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise _refused("must not hold a user name or password; use a signed URL")
    port = port or _PORTS[parts.scheme]
    try:
        host = host if ":" in host else host.encode("idna").decode()
        addresses = _resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise _refused(f"{host} is not known") from error
    if not allow_private and not all(is_public(address) for address in addresses):
        raise _refused(f"{host} is at a private address; {setting}=true on this installation would allow it")
    return Target(url, parts.scheme, host, port, addresses[0])


def _resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an address is on the open internet.

    It is not when it is private, loopback, link-local, site-local, multicast or reserved, or an IPv6 form of such an
    IPv4 one.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        hidden = parsed.ipv4_mapped or parsed.sixtofour
        if parsed.teredo is not None or parsed.is_site_local or any(parsed in network for network in _HIDDEN_IN_IPV6):
            return False
        if hidden is not None:
            return is_public(str(hidden))
    return parsed.is_global and not parsed.is_multicast


def names_inside(url: str) -> bool:
    """Whether a URL says by itself, before any look-up, that it leads inside: a private address, or this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return not is_public(host)
    except ValueError:
        return f".{host}".endswith(".localhost")


def _save(response: httpx.Response, url: str, target: Path, limit: int, deadline: float) -> Fetched:
    if response.status_code != httpx.codes.OK:
        raise _refused(f"answered {response.status_code}, not 200")
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        for chunk in _chunks(response):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the file is larger than {limit:,} bytes, the limit of this installation")
            if time.monotonic() > deadline:
                raise _refused(f"took longer than {_TOTAL_SECONDS} seconds")
            digest.update(chunk)
            file.write(chunk)
    return Fetched(_filename(url), digest.hexdigest())


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    # As sent: a compressed file stays compressed, and cannot expand on the way.
    return response.iter_raw(_CHUNK)


def _filename(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2]) or "download"


def _refused(msg: str) -> Invalid:
    return Invalid(f"url: {msg}", errors=[FieldError(loc=["url"], msg=msg)])
