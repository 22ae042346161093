"""A search finds the texts that contain a part, whatever the case and however long they are."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store import substrings

_LETTERS = st.sampled_from("abA ıß猫\n")
_ONE_WIDTH = st.integers(1, 6).flatmap(lambda n: st.lists(st.text("abc", min_size=n, max_size=n), min_size=1))
_PARTS = st.text(_LETTERS, max_size=4)


@pytest.fixture(autouse=True, scope="module")
def windows() -> Iterator[None]:
    """Windows that end within texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(substrings, "_WINDOW", 5)
        yield


@given(st.one_of(st.lists(st.text(_LETTERS, max_size=8), min_size=1), _ONE_WIDTH), _PARTS)
def test_a_text_is_found_by_every_part_of_it_and_by_nothing_else(texts: list[str], part: str) -> None:
    with TemporaryDirectory() as name:
        substrings.save(Path(name), "ids", [texts])
        found = substrings.containing(Path(name), "ids", part).tolist()
    assert found == [_folded(part) in _folded(text) for text in texts]


def _folded(text: str) -> str:
    return text.casefold().replace("\n", " ")
