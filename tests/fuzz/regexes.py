"""Long texts for regular expressions: each of their repeats as often as it takes, and then something that does not fit."""

import importlib
import inspect
import pkgutil
import random
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import service

_parser: Any = importlib.import_module("re._parser")
_METHODS = "search|match|fullmatch|sub|subn|finditer|findall|split"
_BAD_ENDS = ("", "\0", "!", "\n", "x", "é", '"')
_OF_CATEGORY = {"DIGIT": "1", "SPACE": " ", "WORD": "a", "NOT_DIGIT": "a", "NOT_SPACE": "a", "NOT_WORD": "-"}
_ANY_BUT = "a1 -Z\u00e9"


@dataclass(frozen=True)
class Expression:
    """A regular expression that is a global of a module, and the names of its methods that the module calls."""

    name: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]

    def apply(self, text: str) -> None:
        """Do with a text what the module does."""
        given = text if isinstance(self.pattern.pattern, str) else text.encode()
        for method in self.methods:
            if method in ("sub", "subn"):
                getattr(self.pattern, method)(given[:0], given)
            elif method == "finditer":
                deque(self.pattern.finditer(given), maxlen=0)
            else:
                getattr(self.pattern, method)(given)


@cache
def expressions() -> tuple[Expression, ...]:
    """All of the service."""
    found: dict[int, Expression] = {}
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if "migrations" in module.name or module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if isinstance(value, re.Pattern):
                methods = frozenset(re.findall(rf"\b{name}\.({_METHODS})\b", inspect.getsource(loaded)))
                known = found.get(id(value))
                found[id(value)] = Expression(
                    known.name if known else f"{module.name}.{name}",
                    value,
                    methods | (known.methods if known else frozenset()),
                )
    return tuple(sorted(found.values(), key=lambda one: one.name))


def long_text(pattern: re.Pattern[Any], drawn: random.Random, length: int) -> str:
    """A text of about this length that keeps a search for the pattern busy."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    pieces = list(_pieces(_parser.parse(source, pattern.flags & ~re.UNICODE), drawn))
    repeats = [place for place, (_, is_repeat) in enumerate(pieces) if is_repeat]
    pumped = drawn.choice(repeats) if repeats else None
    text = ""
    for place, (piece, _) in enumerate(pieces):
        if place == pumped:
            text += (piece or "a") * max(1, length // max(1, len(piece)))
        else:
            text += piece
        if place == pumped and drawn.random() < 0.5:
            break
    if drawn.random() < 0.3:  # as a search begins at each place again
        text = text[: max(1, len(text) // length + 20)] * max(1, length // max(1, min(len(text), 20)))
    return text[: 2 * length] + drawn.choice(_BAD_ENDS)


def _pieces(tree: Any, drawn: random.Random) -> Iterator[tuple[str, bool]]:
    """The texts of a pattern's parts in order, and whether each may be repeated."""
    for kind, value in tree:
        match str(kind):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, inner = value
                piece = "".join(text for text, _ in _pieces(inner, drawn))
                yield piece * least, False
                yield piece, int(most) > 8
            case "SUBPATTERN":
                yield from _pieces(value[3], drawn)
            case "ATOMIC_GROUP":
                yield from _pieces(value, drawn)
            case "BRANCH":
                yield from _pieces(drawn.choice(value[1]), drawn)
            case "LITERAL":
                yield chr(value), False
            case "NOT_LITERAL":
                yield next(one for one in _ANY_BUT if ord(one) != value), False
            case "IN":
                yield _member(value, drawn), False
            case "ANY":
                yield "a", False


def _member(options: Any, drawn: random.Random) -> str:
    """A character of a class."""
    if str(options[0][0]) == "NEGATE":
        left_out = re.compile(f"[{''.join(_as_class(one) for one in options[1:])}]")
        return next((one for one in _ANY_BUT if not left_out.match(one)), "~")
    kind, value = drawn.choice(options)
    match str(kind):
        case "RANGE":
            return chr(value[0])
        case "CATEGORY":
            return _OF_CATEGORY[str(value).removeprefix("CATEGORY_")]
        case _:
            return chr(value)


def _as_class(option: Any) -> str:
    kind, value = option
    match str(kind):
        case "RANGE":
            return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        case "CATEGORY":
            return {
                "DIGIT": r"\d",
                "SPACE": r"\s",
                "WORD": r"\w",
                "NOT_DIGIT": r"\D",
                "NOT_SPACE": r"\S",
                "NOT_WORD": r"\W",
            }[str(value).removeprefix("CATEGORY_")]
        case _:
            return re.escape(chr(value))
