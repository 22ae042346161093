"""The address that a request comes from."""

import ipaddress

from starlette.types import Scope


def client_address(scope: Scope) -> str:
    """The IP address of the client; empty where there is none, or where a proxy that is trusted forwards something else."""
    address: str = (scope.get("client") or ("",))[0]
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return ""
    return address
