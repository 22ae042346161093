"""Capital of bets against a number of wrong labels; where it has grown large, that number is refuted.

A fair game: against the true number, capital has the expectation 1 at all times, and exceeds 1 / alpha at any time with a probability
of at most alpha (Ville's inequality). Draw t with the answer y (1: wrong) gives Z = H + (y - p) / q, whose expectation is the number
of wrong labels left. H is what the model expects to be left, p its probability for the sample drawn, q the chance of drawing it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Sizes of bets, as shares of the largest that cannot go bankrupt, with the shares of the capital that are put on them. The
# rest is put on one bet of the size that grows fastest if the model is right.
_UP = [*((size, 0.35 / 7) for size in (0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.85)), (0.98, 0.25)]
_DOWN = [(size, 0.6 / 7) for size in (0.002, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7)]
_BY_MODEL = 0.4
_BOLDEST = 0.95
_ROUNDING = 1e-9
_BLOCK = 16  # factors multiplied before a logarithm is taken
_POINTS = 48


@dataclass(frozen=True)
class Game:
    """T draws with their answers, as bets see them."""

    found: Array  # float T: wrong labels among all that left before each draw
    estimate: Array  # float T: Z, an estimate of the wrong labels left
    expected: Array  # float T: H
    lowest: Array  # float T: least and greatest possible Z
    highest: Array
    variance: Array  # float T: of Z by the model

    def __len__(self) -> int:
        return len(self.found)


def log_capital_against_more(game: Game, totals: Array) -> Array:
    """Logarithm of the capital of bets that fewer labels are wrong than each of the `totals`: float G."""
    return _mixed(_bets_on_fewer(game, totals), len(totals))


def log_capital_against_fewer(game: Game, totals: Array) -> Array:
    """Logarithm of the capital of bets that more labels are wrong than each of the `totals`: float G."""
    return _mixed(_bets_on_more(game, totals), len(totals))


def _bets_on_fewer(game: Game, totals: Array) -> Iterator[tuple[float, Array]]:
    left = totals - game.found[:, None]
    above = left - game.estimate[:, None]
    limit = game.highest[:, None] - left
    # More labels are left than any answer could speak for.
    rounding = _ROUNDING * (1 + np.abs(left))
    impossible = (limit < -rounding).any(axis=0)
    limit = np.maximum(limit, rounding)
    for size, share in _UP:
        yield share, np.where(impossible, np.inf, _log_product(1 + size * above / limit))
    ahead = left - game.expected[:, None]
    best = np.clip(ahead / np.maximum(game.variance[:, None] + ahead**2, 1e-300), 0, _BOLDEST / limit)
    yield _BY_MODEL, np.where(impossible, np.inf, _log_product(1 + best * above))


def _bets_on_more(game: Game, totals: Array) -> Iterator[tuple[float, Array]]:
    left = totals - game.found[:, None]
    below = game.estimate[:, None] - left
    limit = left - game.lowest[:, None]
    rounding = _ROUNDING * (1 + np.abs(left))
    impossible = ((limit < -rounding) | (left < 0)).any(axis=0)
    limit = np.maximum(limit, rounding)
    for size, share in _DOWN:
        yield share, np.where(impossible, np.inf, _log_product(1 + size * below / limit))
    ahead = game.expected[:, None] - left
    best = np.clip(ahead / np.maximum(game.variance[:, None] + ahead**2, 1e-300), 0, _BOLDEST / limit)
    yield _BY_MODEL, np.where(impossible, np.inf, _log_product(1 + best * below))


def _log_product(factors: Array) -> Array:
    """Logarithm of the product over the draws."""
    factors = np.maximum(factors, 1e-12)
    whole = len(factors) // _BLOCK * _BLOCK
    blocks = factors[:whole].reshape(-1, _BLOCK, factors.shape[1]).prod(axis=1)
    total: Array = np.log(blocks).sum(axis=0) + np.log(factors[whole:].prod(axis=0))
    return total


def _mixed(bets: Iterator[tuple[float, Array]], width: int) -> Array:
    total = np.full(width, -np.inf)
    for share, capital in bets:
        total = np.logaddexp(total, np.log(share) + capital)
    return total


def interval(most_wrong: Game, least_wrong: Game, low: int, high: int, level: float, near: float) -> tuple[int, int]:
    """The least and the greatest total within [`low`, `high`] that is not refuted at the level, 0.95 say.

    `most_wrong` takes each answer that is missing for wrong, `least_wrong` for right. `near`: a total that is likely not refuted.
    """
    limit = -np.log(1 - level)

    def capital(totals: Array) -> Array:
        against = log_capital_against_more(most_wrong, totals), log_capital_against_fewer(least_wrong, totals)
        found: Array = np.logaddexp(*against) - np.log(2)
        return found

    return _hull(capital, limit, low, high, near)


def at_most(most_wrong: Game, low: int, high: int, level: float, near: float) -> int:
    """The greatest total within [`low`, `high`] that is not refuted by bets on fewer, at the level."""
    limit = -np.log(1 - level)
    return _hull(lambda totals: log_capital_against_more(most_wrong, totals), limit, low, high, near)[1]


def _hull(capital: Callable[[Array], Array], limit: float, low: int, high: int, near: float) -> tuple[int, int]:
    """The least and the greatest whole number whose capital is below the limit, by ever finer grids."""
    if high <= low:
        return low, low
    points = low - 1 + np.geomspace(1, high - low + 1, _POINTS)
    around = np.clip(np.linspace(0.5, 1.5, 11) * (near - low) + low, low, high)
    grid = np.unique(np.round(np.concatenate([points, around])).astype(np.int64))
    values = capital(grid.astype(float))
    if (values >= limit).all():
        best = int(grid[values.argmin()])
        return best, best
    accepted = np.flatnonzero(values < limit)
    first, last = int(accepted[0]), int(accepted[-1])
    least = grid[first] if first == 0 else _edge(capital, limit, int(grid[first]), int(grid[first - 1]))
    most = grid[last] if last == len(grid) - 1 else _edge(capital, limit, int(grid[last]), int(grid[last + 1]))
    return int(least), int(most)


def _edge(capital: Callable[[Array], Array], limit: float, inside: int, outside: int) -> int:
    """The last number from `inside` on towards `outside` that is below the limit."""
    while abs(outside - inside) > 1:
        grid = np.unique(np.round(np.linspace(inside, outside, 18)).astype(np.int64))
        if outside < inside:
            grid = grid[::-1]
        below = np.flatnonzero(capital(grid.astype(float)) < limit)
        last = int(below[-1]) if len(below) else 0
        if last == len(grid) - 1:
            return int(grid[last])
        inside, outside = int(grid[last]), int(grid[last + 1])
    return inside
