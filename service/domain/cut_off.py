"""Share of wrong labels above a cut-off, by the reviews above it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

_Z = NormalDist().inv_cdf(0.975)
ENOUGH = 30  # decided samples
_ENOUGH_IN_BAND = 5
_BANDS = 4


@dataclass(frozen=True)
class Band:
    """A part of the ranking: how many samples it has, of how many people decided, and how many of those were wrong."""

    samples: int
    decided: int
    wrong: int


@dataclass(frozen=True)
class EstimatedShare:
    """A share in [0, 1] with its interval at 95 %."""

    share: float
    low: float
    high: float


def band_ends(count: int) -> list[int]:
    """Ends of the bands of the first `count` ranks, each twice as long as the ones before it together."""
    ends = [count]
    while len(ends) < _BANDS and ends[0] // 2 >= 1:
        ends.insert(0, ends[0] // 2)
    return ends


def share_by_reviews(bands: Sequence[Band]) -> EstimatedShare | None:
    """The share of wrong labels in all bands together; None where too few were decided, or too few in one of them.

    People review the top of a ranking, where most are wrong. So each band counts by its size, not by its reviews, and
    a band that nobody has looked at makes the whole unknown. Within a band reviews are taken to be like the rest.
    """
    size = sum(band.samples for band in bands)
    decided = sum(band.decided for band in bands)
    if not size or (decided < ENOUGH and decided < size):
        return None
    if any(band.decided < min(_ENOUGH_IN_BAND, band.samples) for band in bands):
        return None
    share = sum(band.samples * band.wrong / band.decided for band in bands if band.samples) / size
    variance = sum((band.samples / size) ** 2 * _variance(band) for band in bands if band.samples)
    reach = _Z * variance**0.5
    return EstimatedShare(share, max(0.0, share - reach), min(1.0, share + reach))


def _variance(band: Band) -> float:
    # Agresti and Coull's (1998) shift keeps it from being 0 after few equal reviews; none where all were decided.
    rate = (band.wrong + 2) / (band.decided + 4)
    return rate * (1 - rate) / (band.decided + 4) * (1 - band.decided / band.samples)
