"""Converts JSON answers to the models.

Code of our own, since cattrs and dacite drop fields that they do not know, and msgspec has no place for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from usual_suspects.client.errors import UnexpectedAnswer

T = TypeVar("T")
Convert = Callable[[Any], Any]

_READ: dict[Any, Convert] = {datetime: datetime.fromisoformat, date: date.fromisoformat, float: float}


def to_model(kind: type[T], value: Any) -> T:
    """A JSON value as a model; fields that the model lacks are in its `extra`. Raises UnexpectedAnswer where it does not fit."""
    wanted: Any = kind
    try:
        found: T = _converter(wanted)(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UnexpectedAnswer(
            "Not this service", f"no {kind.__name__} can be read from the answer: {error}; update usual-suspects"
        ) from error
    return found


@cache
def _converter(kind: Any) -> Convert:
    if is_dataclass(kind) and isinstance(kind, type):
        return _to_dataclass(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _to_first([one for one in arguments if one is not NoneType])
    if origin is tuple:
        item = _converter(arguments[0])
        return lambda value: tuple(item(one) for one in value)
    if origin is Mapping:
        member = _converter(arguments[1])
        return lambda value: {name: member(one) for name, one in value.items()}
    return _READ.get(kind, lambda value: value)


def _to_first(kinds: list[Any]) -> Convert:
    """The value itself where it is None or of a simple type, else as the first that fits it."""
    nested = [one for one in kinds if get_origin(one) or is_dataclass(one) or one in _READ]
    converters = [(_shape(one), _converter(one)) for one in nested]

    def convert(value: Any) -> Any:
        if value is None:
            return None
        return next((read(value) for shape, read in converters if isinstance(value, shape)), value)

    return convert


def _shape(kind: Any) -> Any:
    """The type of the JSON values that a converter reads."""
    if is_dataclass(kind) or get_origin(kind) is Mapping:
        return dict
    if get_origin(kind) is tuple:
        return list
    return (int, float) if kind is float else str


def _to_dataclass(kind: type) -> Convert:
    hints = get_type_hints(kind)
    named = {
        one.name.removesuffix("_"): (one.name, _converter(hints[one.name]))
        for one in fields(kind)
        if one.name != "extra"
    }
    needed = {
        name for name, one in zip(named, fields(kind), strict=False) if one.default is one.default_factory is MISSING
    }

    def convert(value: Mapping[str, Any]) -> Any:
        known = {attribute: read(value[name]) for name, (attribute, read) in named.items() if name in value}
        extra = {name: one for name, one in value.items() if name not in named}
        if absent := needed - value.keys():
            raise KeyError(f"{kind.__name__} lacks {', '.join(sorted(absent))}")
        return kind(**known, extra=extra)

    return convert
