"""Axes: values land at their places, ticks are few, round and told apart."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.report.axes import Scale, ticks

finite = st.floats(-1e12, 1e12)


@given(low=finite, span=st.floats(1e-9, 1e12), most=st.integers(1, 10))
def test_ticks_are_few_and_within_the_range_and_each_has_its_own_words(low: float, span: float, most: int) -> None:
    high = low + span
    assume(high - low > 1e-7 * max(abs(low), abs(high)))
    found = ticks(low, high, most)
    assert len(found.values) <= most + 1
    room = 1e-6 * span + 1e-9 * max(abs(low), abs(high))
    assert all(low - room <= value <= high + room for value in found.values)
    assert len(set(found.words)) == len(found.words)
    for value, word in zip(found.values, found.words, strict=True):
        assert float(word.replace(",", "")) == pytest.approx(value, rel=1e-6, abs=1e-6 * span)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3, 12, ["0", "5", "10"]),
        (0, 4_000, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (0, 2e7, ["0", "5.0e6", "1.0e7", "1.5e7", "2.0e7"]),
        (1e-7, 3e-7, ["1.0e-7", "1.5e-7", "2.0e-7", "2.5e-7", "3.0e-7"]),
    ],
)
def test_numbers_are_written_as_short_as_tells_them_apart(low: float, high: float, words: list[str]) -> None:
    assert ticks(low, high, 5).words == words


def test_whole_ticks_are_whole_numbers_and_shares_are_percent() -> None:
    assert ticks(0, 2, 8, whole=True).values == [0, 1, 2]
    assert ticks(0, 0.05, 5, percent=True).words == [f"{n}\N{NO-BREAK SPACE}%" for n in range(6)]


def test_an_empty_range_has_no_ticks_and_is_widened_to_be_drawn() -> None:
    assert ticks(3, 3, 5).values == []
    assert Scale(3, 3, 0, 100)(3) == 50


@given(low=finite, span=st.floats(1e-3, 1e12), share=st.floats(0, 1))
def test_a_scale_is_linear(low: float, span: float, share: float) -> None:
    assume(span > 1e-9 * abs(low))
    scale = Scale(low, low + span, 10, 110)
    assert scale(low + share * span) == pytest.approx(10 + 100 * share, abs=0.5)
