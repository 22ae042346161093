"""Precision of the ranking, counted from reviews."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
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


def reviewed_share(outcomes: Iterable[Outcome]) -> ReviewedShare:
    """Share of wrong samples among outcomes."""
    return _share(Counter(outcomes))


def _share(counted: Mapping[Outcome, int]) -> ReviewedShare:
    decided, wrong = (sum(counted.get(one, 0) for one in some) for some in (DECIDED, WRONG))
    low, high = _wilson(wrong, decided) if decided else (None, None)
    return ReviewedShare(
        decided=decided, wrong=wrong, precision=wrong / decided if decided else None, low=low, high=high
    )


def _wilson(hits: int, tries: int) -> tuple[float, float]:
    """E. B. Wilson (1927), doi:10.2307/2276774; without continuity correction."""
    rate, weight = hits / tries, _Z * _Z / tries
    middle = (rate + weight / 2) / (1 + weight)
    reach = _Z / (1 + weight) * (rate * (1 - rate) / tries + weight / (4 * tries)) ** 0.5
    return max(0.0, middle - reach), min(1.0, middle + reach)


def shares_by_rank(ranks: Mapping[str, int], outcomes: Mapping[str, Outcome]) -> list[RankBand]:
    """Shares of the reviewed samples by rank band, the first ranks first.

    `ranks` has the ranks of samples, from 1, up to the end of the last bounded band; a sample without a rank is below it.
    """
    firsts = (1, *(end + 1 for end in BAND_ENDS))
    sorted_in: list[list[Outcome]] = [[] for _ in firsts]
    for sample_id, outcome in outcomes.items():
        rank = ranks.get(sample_id)
        place = len(BAND_ENDS) if rank is None else sum(rank > end for end in BAND_ENDS)
        sorted_in[place].append(outcome)
    return [
        RankBand(first=first, last=last, **reviewed_share(found).model_dump())
        for first, last, found in zip(firsts, (*BAND_ENDS, None), sorted_in, strict=True)
    ]


def shares_by_day(decided: Sequence[tuple[date, Outcome]]) -> list[DailyShare]:
    """Shares of the decisions of each day, the oldest day first."""
    by_day: dict[date, Counter[Outcome]] = {}
    for day, outcome in decided:
        by_day.setdefault(day, Counter())[outcome] += 1
    found, before = [], Counter[Outcome]()
    for day in sorted(by_day):
        before += by_day[day]
        found.append(DailyShare(day=day, so_far=_share(before), **_share(by_day[day]).model_dump()))
    return found
