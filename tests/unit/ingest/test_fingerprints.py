"""Fingerprints of texts tell different texts apart, wherever they stand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store import fingerprints

TEXTS = st.text(max_size=80) | st.sampled_from(
    ["", "\0", "\0\0", "a", "a\0", "0000000a", "0000000", "a" * 64, "a" * 65]
)


@given(st.lists(TEXTS, max_size=40))
def test_texts_have_one_fingerprint_where_they_are_equal(texts: list[str]) -> None:
    found = fingerprints.of_texts(pa.array(texts, pa.string())).tolist()
    assert len({*zip(texts, found, strict=True)}) == len(set(texts)) == len(set(found))


@given(st.lists(TEXTS | st.none(), max_size=20), st.lists(TEXTS, max_size=20))
def test_fingerprints_do_not_depend_on_the_texts_around(before: list[str | None], texts: list[str]) -> None:
    column = pa.array([*before, *texts, "behind"], pa.string()).slice(len(before), len(texts))
    alone = [fingerprints.of_texts(pa.array([text], pa.string()))[0] for text in texts]
    assert fingerprints.of_texts(column).tolist() == alone


@pytest.mark.parametrize("values", [["short", "ab"], ["a word of a category", "another one", ""]])
def test_texts_that_come_again_have_the_fingerprints_that_they_have_alone(values: list[str]) -> None:
    texts = [values[number % len(values)] for number in range(300)] + ["met late"]
    alone = {text: fingerprints.of_texts(pa.array([text]))[0] for text in texts}
    column = pa.array([*texts, None], pa.string())
    expected = [*(alone[text] for text in texts), fingerprints.of_texts(pa.array([""]))[0]]
    assert fingerprints.of_texts(column).tolist() == expected
    assert fingerprints.of_column(column).tolist() == fingerprints.of_column(column.dictionary_encode()).tolist()


@pytest.mark.parametrize("held", [100, 7])
def test_the_earliest_repeat_is_found_in_one_part_and_in_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(fingerprints, "_HELD", held)
    with fingerprints.Fingerprints(tmp_path / "prints") as prints:
        for values in ([5, 9, 4, 12, 7], [1, 7, 30, 5], [9, 7, 2, 30]):
            prints.add(np.array(values, np.uint64))
        assert prints.first_repeat() == (4, 6)
        assert prints.repeats() == 5


@pytest.mark.parametrize("length", [3, 30, 300])
def test_many_alike_texts_have_as_many_fingerprints(length: int) -> None:
    texts = [f"{number:0{length}}" for number in range(100_000 if length < 100 else 1_000)]
    found = fingerprints.of_texts(pa.array(texts, pa.string()))
    assert len(np.unique(found)) == len(set(texts))


def test_fingerprints_are_the_same_in_every_process() -> None:
    code = (
        "import pyarrow as pa; from service.store import fingerprints; "
        "print(fingerprints.of_texts(pa.array(['a', 'a text of two words', 'long ' * 30])).tolist())"
    )
    ran = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert ran[0].stdout == ran[1].stdout != ""


def test_fingerprints_are_those_of_earlier_versions_whose_digests_are_kept() -> None:
    texts = ["", "a", "a text of two words", "long " * 30]
    found = [0, 16411410221427211341, 1932376626011114490, 13169751690904194058]
    assert fingerprints.of_texts(pa.array(texts)).tolist() == found
    assert fingerprints.of_texts(pa.array(["ab", "abcdefgh"])).tolist() == [13037194912732142692, 11652656923542932101]
    assert fingerprints.of_texts(pa.array([""])).tolist() == [0]
