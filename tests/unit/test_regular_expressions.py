"""Every regular expression of the service takes time in proportion to a text, whoever wrote the text."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fuzz.regexes import Expression, expressions, long_text

_LONG = 20_000


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after so much processor time; regular expressions look for signals."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("expression", expressions(), ids=lambda one: one.name)
def test_a_regular_expression_takes_time_in_proportion_to_the_text(expression: Expression) -> None:
    assert expression.methods
    for number in range(8):
        text = long_text(expression.pattern, random.Random(f"{expression.name} {number}"), _LONG)
        with _within(
            0.3
        ):  # a hundred times as long as the longest takes; in the square of the length it would be a second
            expression.apply(text)
