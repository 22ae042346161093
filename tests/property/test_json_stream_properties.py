"""A JSON document read in pieces is what it is when read whole."""

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import Malformed
from service.ingest.readers import json_stream

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=12,
)
documents = st.one_of(st.lists(values, max_size=5), st.dictionaries(st.text(max_size=3), values, max_size=5))
chunks = st.integers(1, 40)


def read(text: str, chunk: int) -> list[tuple[str, str, Any]]:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(json_stream, "_CHUNK", chunk):
        path = Path(folder) / "a.json"
        path.write_text(text, encoding="utf-8")
        return list(json_stream.pieces(path, "utf-8"))


def expected(document: Any) -> list[tuple[str, str, Any]]:
    if isinstance(document, list):
        return [("", "", value) for value in document]
    found: list[tuple[str, str, Any]] = []
    for section, value in document.items():
        if isinstance(value, list):
            found += [(section, "", one) for one in value]
        elif isinstance(value, dict):
            found += [(section, key, one) for key, one in value.items()]
        else:
            found.append((section, "", value))
    return found


@settings(max_examples=300, deadline=None)
@given(document=documents, chunk=chunks, indent=st.sampled_from([None, 2]), plain=st.booleans())
def test_the_pieces_do_not_depend_on_how_much_is_read_at_once(
    document: Any, chunk: int, indent: int | None, plain: bool
) -> None:
    assert read(json.dumps(document, indent=indent, ensure_ascii=plain), chunk) == expected(document)


@settings(max_examples=300, deadline=None)
@given(document=documents, chunk=chunks, data=st.data())
def test_what_is_no_json_is_refused_and_what_is_json_is_read(document: Any, chunk: int, data: st.DataObject) -> None:
    text = json.dumps(document, ensure_ascii=False)
    place = data.draw(st.integers(0, len(text)))
    text = text[:place] + data.draw(st.sampled_from(["", ",", "]", "}", "{", '"', "1", "x", ":"])) + text[place + 1 :]
    try:
        whole = json.loads(text)
    except ValueError:
        with pytest.raises(Malformed, match="line 1 is not JSON"):
            read(text, chunk)
    else:
        if isinstance(whole, dict) and json.dumps(whole, ensure_ascii=False) != text:
            return  # a key that occurs twice is met twice
        if isinstance(whole, (list, dict)):
            assert read(text, chunk) == expected(whole)


def test_half_a_surrogate_pair_is_a_question_mark() -> None:
    assert read('[{"a\\ud800": ["\\uDC00!", "\\ud83d\\ude00"]}]', 3) == [("", "", {"a?": ["?!", "😀"]})]


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" + '{"a":[' * 50_000])
def test_nesting_without_end_is_refused_and_cheap(text: str) -> None:
    with pytest.raises(Malformed, match="nested too deeply"):
        read(text, 1 << 20)


def test_the_line_of_a_fault_is_told_however_far_down(tmp_path: Path) -> None:
    lines = ["["] + ['{"a": 1},'] * 9_000 + ['{"a": nope}', "]"]
    for chunk in (100, 1 << 20):
        with pytest.raises(Malformed, match="line 9002 is not JSON: Expecting value"):
            read("\n".join(lines), chunk)
