"""Refuses query parameters that a route does not have."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.http.unknown_fields import not_among
from service.domain.errors import FieldError, invalid_fields

# Every list takes one. A list of so few that it has no pages is answered whole, whatever the limit.
_LIMIT = "limit"

_LISTED = 20  # faults; to find what each was likely meant to be takes a while

# By what answers a route: the parameters that it has, and whether each may be given more than once.
_KNOWN: dict[Callable[..., Any], Mapping[str, bool]] = {}


def check_query(request: Request) -> None:
    """Raise Invalid for a parameter that the request's route does not have, and for one of a single value that is given twice."""
    if not request.scope["query_string"]:
        return
    given = [name for name, _ in request.query_params.multi_items()]
    known = _known(request.scope["route"])
    if len({*given}) == len(given) and known.keys() >= {*given}:
        return
    faults = [(name, times) for name, times in Counter(given).items() if not _may_be_given(name, times, known)]
    told = [FieldError(loc=["query", name], msg=_message(name, times, known)) for name, times in faults[:_LISTED]]
    if len(faults) > len(told):
        told.append(FieldError(loc=["query"], msg=f"{len(faults) - len(told):,} more faults are not listed"))
    if told:
        raise invalid_fields(told)


def _may_be_given(name: str, times: int, known: Mapping[str, bool]) -> bool:
    return name in known and (times == 1 or known[name])


def _message(name: str, times: int, known: Mapping[str, bool]) -> str:
    return f"given {times:,} times; it takes one value" if name in known else not_among("parameter", name, [*known])


def _known(route: APIRoute) -> Mapping[str, bool]:
    found = _KNOWN.get(route.endpoint)
    if found is None:
        declared = dict(_declared(route.dependant))
        if "items" in getattr(route.response_model, "model_fields", ()):
            declared.setdefault(_LIMIT, False)
        found = _KNOWN[route.endpoint] = dict(sorted(declared.items()))
    return found


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for one in dependant.dependencies:
        yield from _declared(one)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
