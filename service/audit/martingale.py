"""Capital of bets against a number of wrong labels; where it has grown large, that number is refuted.

A fair game: against the true number, capital has the expectation 1 at all times, and exceeds 1 / alpha at any time with a probability
of at most alpha (Ville's inequality). Draw t with the answer y (1: wrong) gives Z = H + (y - p) / q, whose expectation is the number
of wrong labels left. H is what the model expects to be left, p its probability for the sample drawn, q the chance of drawing it.
"""

from collections.abc import Callable, Iterator, Sequence
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
_POINTS, _FINER = 32, 9  # totals tried at first, and between two of them


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


@dataclass(frozen=True)
class _Bets:
    """Bets against each of G totals on each of T draws. A draw multiplies the capital on a bet of a size by 1 + size * gain."""

    shares: Sequence[tuple[float, float]]  # sizes, each with its share of the capital
    gain: Array  # float T x G: -1 at worst
    own: Array  # float T x G: size of the bet that grows fastest if the model is right
    impossible: Array  # bool T x G: totals that no answer could have led to

    def factors(self) -> Iterator[tuple[float, Array]]:
        """Each share of the capital with what the draws multiply it by: float T x G."""
        for size, share in self.shares:
            yield share, 1 + size * self.gain
        yield _BY_MODEL, 1 + self.own * self.gain


def log_capital_against_more(game: Game, totals: Array) -> Array:
    """Logarithm of the capital of bets that fewer labels are wrong than each of the `totals`: float G."""
    return _at_the_end(_bets_on_fewer(game, totals))


def log_capital_against_fewer(game: Game, totals: Array) -> Array:
    """Logarithm of the capital of bets that more labels are wrong than each of the `totals`: float G."""
    return _at_the_end(_bets_on_more(game, totals))


def log_capital_paths(game: Game, totals: Array) -> tuple[Array, Array]:
    """Both logarithms, against more and against fewer, after each draw: two float T x G."""
    return _after_each(_bets_on_fewer(game, totals)), _after_each(_bets_on_more(game, totals))


def _bets_on_fewer(game: Game, totals: Array) -> _Bets:
    left = totals - game.found[:, None]
    limit = game.highest[:, None] - left
    rounding = _ROUNDING * (1 + np.abs(left))
    # More labels are left than any answer could speak for.
    impossible = limit < -rounding
    limit = np.maximum(limit, rounding)
    ahead = left - game.expected[:, None]
    own = np.clip(ahead / np.maximum(game.variance[:, None] + ahead**2, 1e-300) * limit, 0, _BOLDEST)
    return _Bets(_UP, np.maximum((left - game.estimate[:, None]) / limit, -1), own, impossible)


def _bets_on_more(game: Game, totals: Array) -> _Bets:
    left = totals - game.found[:, None]
    limit = left - game.lowest[:, None]
    rounding = _ROUNDING * (1 + np.abs(left))
    impossible = (limit < -rounding) | (left < 0)
    limit = np.maximum(limit, rounding)
    ahead = game.expected[:, None] - left
    own = np.clip(ahead / np.maximum(game.variance[:, None] + ahead**2, 1e-300) * limit, 0, _BOLDEST)
    return _Bets(_DOWN, np.maximum((game.estimate[:, None] - left) / limit, -1), own, impossible)


def _at_the_end(bets: _Bets) -> Array:
    total = np.full(bets.gain.shape[1], -np.inf)
    for share, factors in bets.factors():
        total = np.logaddexp(total, np.log(share) + _log_product(factors))
    return np.where(bets.impossible.any(axis=0), np.inf, total)


def _after_each(bets: _Bets) -> Array:
    total = np.full(bets.gain.shape, -np.inf)
    for share, factors in bets.factors():
        total = np.logaddexp(total, np.log(share) + np.cumsum(np.log(factors), axis=0))
    return np.where(np.logical_or.accumulate(bets.impossible, axis=0), np.inf, total)


def _log_product(factors: Array) -> Array:
    """Logarithm of the product over the draws."""
    whole = len(factors) // _BLOCK * _BLOCK
    blocks = factors[:whole].reshape(_BLOCK, -1, factors.shape[1]).prod(axis=0)
    total: Array = np.log(blocks).sum(axis=0) + np.log(factors[whole:].prod(axis=0))
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
    """The least and the greatest whole number whose capital is below the limit, by ever finer grids.

    Capital falls and then rises with the total but for small bumps: each bet's logarithm is convex, the model's aside.
    """
    if high <= low:
        return low, low
    points = low - 1 + np.geomspace(1, high - low + 1, _POINTS)
    around = np.clip(np.linspace(0.5, 1.5, 11) * (near - low) + low, low, high)
    grid = np.unique(np.round(np.concatenate([points, around])).astype(np.int64))
    values = capital(grid.astype(float))
    while (values >= limit).all():
        # What is not refuted lies between two totals of the grid, beside the least capital.
        best = int(values.argmin())
        left, right = int(grid[max(best - 1, 0)]), int(grid[min(best + 1, len(grid) - 1)])
        if right - left <= 2:
            return int(grid[best]), int(grid[best])
        grid = np.unique(np.append(np.round(np.linspace(left, right, 2 * _FINER)).astype(np.int64), grid[best]))
        values = capital(grid.astype(float))
    accepted = np.flatnonzero(values < limit)
    first, last = int(accepted[0]), int(accepted[-1])
    least = grid[first] if grid[first] == low else _edge(capital, limit, int(grid[first]), int(grid[first - 1]))
    most = grid[last] if grid[last] == high else _edge(capital, limit, int(grid[last]), int(grid[last + 1]))
    return int(least), int(most)


def _edge(capital: Callable[[Array], Array], limit: float, inside: int, outside: int) -> int:
    """The last number from `inside` on towards `outside` that is below the limit."""
    while abs(outside - inside) > 1:
        grid = np.unique(np.round(np.linspace(inside, outside, _FINER)).astype(np.int64))
        if outside < inside:
            grid = grid[::-1]
        below = np.flatnonzero(capital(grid.astype(float)) < limit)
        last = int(below[-1]) if len(below) else 0
        if last == len(grid) - 1:
            return int(grid[last])
        inside, outside = int(grid[last]), int(grid[last + 1])
    return inside
