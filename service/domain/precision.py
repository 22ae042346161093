"""Precision of the ranking, counted from reviews."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

from service.domain.review import DECIDED, WRONG, Outcome

BAND_ENDS = (10, 50, 100, 500, 1_000)  # ranks
_Z = NormalDist().inv_cdf(0.975)


class ReviewedShare(BaseModel):
    """Share of the decided samples that were wrong: relabelled to another class, or removed.

    Samples without a decision, or with the decision "unsure" or "plausible", do not count.
    """

    model_config = ConfigDict(frozen=True)

    decided: int
    wrong: int
    precision: float | None = Field(description="wrong / decided; null while nothing is decided.")
    low: float | None = Field(description="Wilson's interval for it, 95 %.")
    high: float | None


class RankBand(ReviewedShare):
    """The decided samples from rank `first` to rank `last`, both included."""

    first: int
    last: int | None = Field(description="null: to the end of the ranking.")


class DailyShare(ReviewedShare):
    """The flagged samples whose latest decision was made on one day."""

    day: date
    so_far: ReviewedShare = Field(description="All decisions up to the end of the day.")


def reviewed_share(counted: Mapping[Outcome, int]) -> ReviewedShare:
    """Share of wrong samples among samples with these numbers of outcomes."""
    decided, wrong = (sum(counted.get(one, 0) for one in some) for some in (DECIDED, WRONG))
    low, high = wilson(wrong, decided) if decided else (None, None)
    return ReviewedShare(
        decided=decided, wrong=wrong, precision=wrong / decided if decided else None, low=low, high=high
    )


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % interval of a share by E. B. Wilson (1927), doi:10.2307/2276774; without continuity correction."""
    rate, weight = hits / tries, _Z * _Z / tries
    middle = (rate + weight / 2) / (1 + weight)
    reach = _Z / (1 + weight) * (rate * (1 - rate) / tries + weight / (4 * tries)) ** 0.5
    return max(0.0, middle - reach), min(1.0, middle + reach)


def shares_by_rank(first: Sequence[Outcome], every: Mapping[Outcome, int]) -> list[RankBand]:
    """Shares of the reviewed samples by rank band, the first ranks first.

    `first` has the outcomes of the samples by rank, up to the end of the last bounded band; `every` counts those of all samples.
    """
    bands = [Counter(first[start:end]) for start, end in pairwise((0, *BAND_ENDS))]
    rest = Counter(every)
    for band in bands:
        rest.subtract(band)
    return [
        RankBand(first=start + 1, last=end, **reviewed_share(counted).model_dump())
        for start, end, counted in zip((0, *BAND_ENDS), (*BAND_ENDS, None), [*bands, rest], strict=True)
    ]


def shares_by_day(decided: Mapping[date, Mapping[Outcome, int]]) -> list[DailyShare]:
    """Shares of the decisions of each day, the oldest day first."""
    found, before = [], Counter[Outcome]()
    for day in sorted(decided):
        before.update(decided[day])
        found.append(DailyShare(day=day, so_far=reviewed_share(before), **reviewed_share(decided[day]).model_dump()))
    return found
