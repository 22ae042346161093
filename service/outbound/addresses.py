"""Network addresses that a request may go to."""

import ipaddress
import socket
from urllib.parse import urlsplit

from service.domain.errors import Invalid, invalid

# Networks whose IPv6 addresses contain an IPv4 address of any kind.
_EMBEDS_IPV4 = tuple(map(ipaddress.ip_network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")))

# Of special use, which the lists of older versions of Python lack (RFC 6890, RFC 7526, RFC 9602).
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "5f00::/16")))


def checked_address(host: str, port: int, *, allow_private: bool, setting: str) -> str:
    """The first IP address of a host, after all of its addresses were checked.

    One private address is enough to refuse the host: its name server may choose the order. `setting` is the name of
    the setting that allows private addresses, for the error's text. Raises Invalid.
    """
    try:
        addresses = _resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise invalid_url(f"{host} is not known") from error
    if not allow_private and not all(is_public(address) for address in addresses):
        raise invalid_url(f"{host} is at a private address; {setting}=true on this installation would allow it")
    return addresses[0]


def _resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet.

    It is not when it is private, loopback, link-local, site-local, multicast or reserved, or an IPv6 form of such an
    IPv4 address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour
        if parsed.teredo is not None or parsed.is_site_local or any(parsed in network for network in _EMBEDS_IPV4):
            return False
        if embedded is not None:
            return is_public(str(embedded))
    if any(parsed in network for network in _SPECIAL):
        return False
    return parsed.is_global and not parsed.is_multicast


def names_private_host(url: str) -> bool:
    """Whether a URL contains a private address or localhost as its host. Nothing is resolved."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        # Numbers are addresses, too, in the spellings that C knows: 0, 2130706433, 0x7f.1.
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        pass
    try:
        return not is_public(host)
    except ValueError:
        return f".{host}".endswith(".localhost")


def invalid_url(msg: str) -> Invalid:
    """The error for the field `url`."""
    return invalid(["url"], msg)
