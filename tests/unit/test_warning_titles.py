"""Titles of warnings."""

import re
from pathlib import Path

import pytest

from service.domain.dataset import ClientWarning
from service.domain.warning_titles import WARNING_TITLES

_ROOT = Path(__file__).parents[2]
_GIVEN = re.compile(r"ClientWarning\(\s*code=(.+?), *(?:\n *)?detail=", re.DOTALL)
_LEFT_OUT = re.compile(r"LeftOut\(\s*\"([a-z0-9_]+)\"")
_CODE = re.compile(r"\"([a-z0-9_]+)\"")


def given_codes() -> set[str]:
    """All codes of warnings in the sources."""
    found: set[str] = set()
    for room in ("service", "worker"):
        for path in (_ROOT / room).rglob("*.py"):
            text = path.read_text()
            for expression in _GIVEN.findall(text):
                found.update(_CODE.findall(expression))
            found.update(_LEFT_OUT.findall(text))
    return found


def test_every_warning_has_a_title_and_every_title_a_warning() -> None:
    codes = given_codes()
    assert len(codes) > 70
    assert codes - set(WARNING_TITLES) == set()
    assert set(WARNING_TITLES) - codes == set()


@pytest.mark.parametrize("code", WARNING_TITLES)
def test_a_title_is_one_short_sentence_without_words_of_the_api(code: str) -> None:
    title = WARNING_TITLES[code]
    assert len(title) <= 72
    assert title.endswith(".")
    assert title.count(".") == 1
    assert not re.search(r"[_/{}`]|spec\b|GET|POST", title)


def test_a_warning_that_was_stored_before_there_were_titles_has_one() -> None:
    stored = ClientWarning.model_validate({"code": "skipped_rows", "detail": "3 rows were skipped"})
    assert stored.title == WARNING_TITLES["skipped_rows"]
    assert ClientWarning.model_validate(stored.model_dump()) == stored
    assert ClientWarning(code="of_an_earlier_version", detail="").title == "Of an earlier version."
