"""Content negotiation."""

from collections.abc import Mapping
from typing import TypeVar

from service.domain.errors import NotAcceptable, invalid

F = TypeVar("F", bound=str)


def choose(name: str | None, accept: str | None, media_types: Mapping[F, str], what: str) -> F:
    """The form asked for, by name before by `Accept`. Raises Invalid and NotAcceptable, listing what there is."""
    if name is not None:
        named = next((known for known in media_types if known == name), None)
        if named is None:
            raise invalid(["query", "format"], f"must be one of {', '.join(media_types)}")
        return named
    ranges = sorted((_range(part) for part in (accept or "*/*").split(",")), key=lambda wanted: -wanted[1])
    for wanted, quality in ranges:
        for known, kind in media_types.items():
            if quality > 0 and _matches(wanted, kind.partition(";")[0]):
                return known
    kinds = ", ".join(dict.fromkeys(kind.partition(";")[0] for kind in media_types.values()))
    raise NotAcceptable(f"{what} comes as {kinds}")


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return kind, 0.0


def _matches(wanted: str, kind: str) -> bool:
    return wanted in ("*/*", kind, f"{kind.partition('/')[0]}/*")
