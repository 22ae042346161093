"""View of what people made of a ranking."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from service.api.schemas.reviews import ReviewOutcomes, ReviewSummary, SignalPrecision, ToolStanding
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_day, shares_by_rank
from service.domain.review import Outcome
from service.domain.verdict import VERDICTS
from service.services import Services
from service.store import outcomes, pulls
from service.store.jobs import Job
from service.store.outcomes import Outcomes
from service.store.pulls import Pull


def review_summary(services: Services, job: Job, signals: Sequence[str] | None) -> ReviewSummary:
    """Precision of what was flagged: by verdict, by rank among each of `signals` (None: all of the job), over time."""
    computed: list[str] = (job.result or {})["signals"]
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        seen = outcomes.of_ranking(connection, ranking)
        names = signals or computed if seen.reviewed else []
        orders = {by: ranking.columns.order(connection, job.id, by) for by in names}
        pull = pulls.get(connection, job.id)
    return _summary(seen, orders, pull)


def _summary(seen: Outcomes, orders: Mapping[str, npt.NDArray[Any]], pull: Pull | None) -> ReviewSummary:
    flagged, every = seen.flagged, seen.every
    return ReviewSummary(
        samples=every.total(),
        flagged=flagged.total(),
        reviewed=seen.reviewed,
        outcomes=ReviewOutcomes(
            flagged={one: flagged[one] for one in Outcome},
            clean={one: every[one] - flagged[one] for one in Outcome if one is not Outcome.PENDING},
        ),
        precision=reviewed_share(flagged),
        by_verdict={verdict: reviewed_share(seen.by_verdict.get(verdict, {})) for verdict in VERDICTS},
        by_signal=[
            SignalPrecision(name=by, bands=shares_by_rank(seen.first(order, BAND_ENDS[-1]), every))
            for by, order in orders.items()
        ],
        over_time=shares_by_day(seen.flagged_by_day()),
        tool=None if pull is None else ToolStanding(reconciled_at=pull.reconciled_at, trouble=pull.trouble),
    )
