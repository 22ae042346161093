"""Names that people give to datasets, jobs and the like: one line of text."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

# Context in which a description is read that is stored: it may have a name that was taken before such names were refused.
STORED = {"stored": True}

# Control characters, breaks of lines and of paragraphs, halves of characters.
_CATEGORIES = frozenset(("Cc", "Zl", "Zp", "Cs"))
# Marks that turn the direction of what follows, beyond the end of the name.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """A text of elsewhere, such as the name of a file, as a name: a space for each character that a name cannot have."""
    return "".join(" " if _is_refused(letter) else letter for letter in text).strip()


def _is_refused(letter: str) -> bool:
    return letter in _TURNS or unicodedata.category(letter) in _CATEGORIES


def _checked(name: str, info: ValidationInfo) -> str:
    if info.context != STORED and any(map(_is_refused, name)):
        raise ValueError("must be one line of text without control characters")
    return name


Name = Annotated[str, AfterValidator(_checked)]
