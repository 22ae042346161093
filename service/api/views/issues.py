"""View of what is wrong in the data of a job beside its labels."""

from collections.abc import Mapping
from typing import Any

from service.api.schemas.issues import FlaggedSample, IssueList, IssueView, UncheckedIssue
from service.domain.issue import ISSUE_TYPES, ISSUES, SUMMARY, IssueType
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

_EARLIER = "This job was ranked by a version that did not look for it; a new job with the same spec does."


def issue_list(services: Services, job: Job, wanted: IssueType | None, limit: int) -> IssueList:
    """All types or the wanted one, with `limit` samples of each at most."""
    with services.database.read() as connection:
        kept = rankings.summary(connection, job.id, SUMMARY)
    found = {one["type"]: one for one in kept.get("items", [])}
    reasons = {one["type"]: one["reason"] for one in kept.get("not_checked", [])}
    asked = ISSUE_TYPES if wanted is None else (wanted,)
    items = [_item(name, found[name], limit) for name in asked if name in found]
    missing = [
        UncheckedIssue(type=name, title=ISSUES[name].title, reason=reasons.get(name, _EARLIER))
        for name in asked
        if name not in found
    ]
    return IssueList(items=items, total=len(items), not_checked=missing)


def _item(name: IssueType, found: Mapping[str, Any], limit: int) -> IssueView:
    return IssueView(
        type=name,
        title=ISSUES[name].title,
        found=found["found"],
        score=found["score"],
        score_is=ISSUES[name].score,
        flagged=found["flagged"],
        samples=[FlaggedSample.model_validate(one) for one in found["samples"][:limit]],
        detail=found["detail"],
    )
