"""The description of the API that the service serves, made once a process: it takes a second."""

from functools import cache
from pathlib import Path
from typing import Any

from service.main import create_app
from service.settings import Settings


@cache
def described() -> dict[str, Any]:
    """`/openapi.json` of a service that was never started; not to be changed."""
    return create_app(Settings(home=Path("/tmp/suspects-description"))).openapi()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Its operations: method, path and description."""
    return [
        (method, path, operation)
        for path, methods in described()["paths"].items()
        for method, operation in methods.items()
    ]
