"""Axes of a plot: from values to places on the page, ticks at round numbers, and the lines and words around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from service.report.svg import line, width_of, words

_STEPS = (1, 2, 5, 10)
_LARGE, _SMALL = 1e6, 1e-3  # beyond these a number is written with a power of ten
_TICK = 15  # pixels from an axis to the baseline of its numbers
_ROOM = 0.05  # of the range, beyond the values


@dataclass(frozen=True)
class Scale:
    """A linear map of values in [low, high] to pixels from `start` to `end`; a range of nothing is widened."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value in pixels."""
        low, high = (self.low, self.high) if self.high > self.low else (self.low - 0.5, self.low + 0.5)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


@dataclass(frozen=True)
class Ticks:
    """Values at which an axis is marked, and what is written there."""

    values: Sequence[float]
    words: Sequence[str]


@dataclass(frozen=True)
class Axes:
    """A rectangle of the page with a scale across and one upwards."""

    x: Scale
    y: Scale

    def across(self, ticks: Ticks, title: str, *, grid: bool = True) -> str:
        """The horizontal axis below the rectangle, with its numbers and its title."""
        bottom, top = self.y.start, self.y.end
        parts = [line((self.x(value), bottom), (self.x(value), top), "grid") for value in ticks.values if grid]
        parts += [line((self.x.start, bottom), (self.x.end, bottom), "axis")]
        parts += [
            words(word, self.x(value), bottom + _TICK, anchor="middle")
            for value, word in zip(ticks.values, ticks.words, strict=True)
        ]
        if title:
            parts.append(words(title, (self.x.start + self.x.end) / 2, bottom + 2.2 * _TICK, anchor="middle"))
        return "".join(parts)

    def upwards(self, ticks: Ticks) -> str:
        """The vertical axis left of the rectangle, with its numbers."""
        left, right = self.x.start, self.x.end
        parts = [line((left, self.y(value)), (right, self.y(value)), "grid") for value in ticks.values]
        parts += [line((left, self.y.start), (left, self.y.end), "axis")]
        parts += [
            words(word, left - 6, self.y(value) + 4, anchor="end")
            for value, word in zip(ticks.values, ticks.words, strict=True)
        ]
        return "".join(parts)


def ticks(low: float, high: float, most: int, *, whole: bool = False, percent: bool = False) -> Ticks:
    """Multiples of 1, 2 or 5 times a power of ten in [low, high], `most` steps at the most; no ticks in an empty range.

    With `whole` they are whole numbers; with `percent` a share of 1 is written as 100 %.
    """
    rough = (high - low) / most
    if not isfinite(rough) or rough <= 0:
        return Ticks([], [])
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    multiples = range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    values = [multiple * step for multiple in multiples]
    if percent:
        return Ticks(
            values, [f"{word}\N{NO-BREAK SPACE}%" for word in _written([100 * one for one in values], 100 * step)]
        )
    return Ticks(values, _written(values, step))


def widest(found: Ticks) -> float:
    """The width in pixels that the numbers of an axis need."""
    return max(map(width_of, found.words), default=0)


def room(low: float, high: float) -> tuple[float, float]:
    """The range of values with some room at both ends."""
    beyond = _ROOM * (high - low)
    return low - beyond, high + beyond


def _written(values: Sequence[float], step: float) -> list[str]:
    """Numbers with as many decimals as tell multiples of a step apart."""
    largest = max(map(abs, values), default=0.0)
    if largest and not _SMALL <= largest < _LARGE:
        digits = max(0, floor(log10(largest)) - floor(log10(step) + 1e-9))
        return [_with_power(value, digits) for value in values]
    decimals = max(0, -floor(log10(step) + 1e-9))
    return [f"{value:z,.{decimals}f}" for value in values]


def _with_power(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"
