"""View of what people made of a ranking."""

from collections import Counter
from collections.abc import Mapping, Sequence

from service.api.schemas.reviews import ReviewOutcomes, ReviewSummary, SignalPrecision, ToolStanding
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_day, shares_by_rank
from service.domain.review import Outcome
from service.domain.verdict import FLAGGED, VERDICTS
from service.services import Services
from service.store import outcomes, pulls, rankings
from service.store.jobs import Job
from service.store.outcomes import Outcomes
from service.store.pulls import Pull


def review_summary(services: Services, job: Job, signals: Sequence[str] | None) -> ReviewSummary:
    """Precision of what was flagged: by verdict, by rank among each of `signals` (None: all of the job), over time."""
    computed: list[str] = (job.result or {})["signals"]
    with services.database.read() as connection:
        seen = outcomes.of_job(connection, job.id)
        names = signals or computed if seen.rows else []
        ranks = {by: rankings.top_ranks(connection, job.id, by, BAND_ENDS[-1]) for by in names}
        pull = pulls.get(connection, job.id)
    return _summary(seen, ranks, pull)


def _summary(seen: Outcomes, ranks: Mapping[str, Mapping[str, int]], pull: Pull | None) -> ReviewSummary:
    flagged = seen.flagged
    others = Counter(seen.found[name] for name in seen.rows if name not in flagged)
    return ReviewSummary(
        samples=sum(seen.by_verdict.values()),
        flagged=sum(seen.by_verdict.get(verdict, 0) for verdict in FLAGGED),
        reviewed=len(seen.found),
        outcomes=ReviewOutcomes(
            flagged=seen.of_flagged(),
            clean={one: others[one] for one in Outcome if one is not Outcome.PENDING},
        ),
        precision=reviewed_share(flagged.values()),
        by_verdict={
            verdict: reviewed_share(seen.found[name] for name, row in seen.rows.items() if row["verdict"] == verdict)
            for verdict in VERDICTS
        },
        by_signal=[SignalPrecision(name=by, bands=shares_by_rank(found, seen.found)) for by, found in ranks.items()],
        over_time=shares_by_day([(seen.reviews[name].created_at.date(), found) for name, found in flagged.items()]),
        tool=None if pull is None else ToolStanding(reconciled_at=pull.reconciled_at, trouble=pull.trouble),
    )
