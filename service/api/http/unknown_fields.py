"""What to say of a name that a request may not have: the one that was likely meant, which may belong to another place of the body."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter

_NEAR = 0.6  # likeness of two names, from 0 to 1
_MOST = 3  # places of the same name that are told


def unknown_field(wanted: Any, loc: Sequence[str | int], within: Sequence[str] = ()) -> str:
    """The message for the unknown field at `loc` of a value of the type `wanted`, which is itself `within` a part of the body."""
    *above, name = [part for part in loc if isinstance(part, str)]
    known = _places(wanted)
    siblings = sorted({place[-1] for place in known if list(place[:-1]) == above})
    elsewhere = [place for place in known if place[-1] == name]
    if elsewhere:
        meant = " or ".join(".".join((*within, *place)) for place in elsewhere[:_MOST])
        return f"no such field here; did you mean {meant}?"
    return not_among("field", name, siblings)


def not_among(kind: str, name: str, known: Sequence[str]) -> str:
    """The message for a name, of a field or another `kind`, that is none of those `known`."""
    near = get_close_matches(name, known, n=1, cutoff=_NEAR)
    if near:
        return f"no such {kind}; did you mean {near[0]!r}?"
    return f"no such {kind}; known: {', '.join(known) or 'none'}"


@cache
def _places(wanted: Any) -> tuple[tuple[str, ...], ...]:
    """Where each named field of a type is, the outer ones first."""
    schema = TypeAdapter(wanted).json_schema()
    found = dict.fromkeys(_walk(schema, schema.get("$defs", {}), (), ()))
    return tuple(sorted(found, key=len))


def _walk(
    part: Mapping[str, Any], definitions: Mapping[str, Any], place: tuple[str, ...], inside: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    reference = part.get("$ref", "").rpartition("/")[2]
    if reference:
        if reference not in inside:  # a type may contain itself
            yield from _walk(definitions[reference], definitions, place, (*inside, reference))
        return
    for name, field in part.get("properties", {}).items():
        yield (*place, name)
        yield from _walk(field, definitions, (*place, name), inside)
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in part.get(kind, ()):
            yield from _walk(one, definitions, place, inside)
    if isinstance(items := part.get("items"), Mapping):
        yield from _walk(items, definitions, place, inside)
