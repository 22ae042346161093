"""Signals of a job over all samples, groups, and proposals to verify."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.actions.find import find_dataset_of_job
from service.actions.verify_next import verify_next
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.signals import Candidate, CandidateList, GroupList, SignalList, SignalView
from service.api.views.groups import group_views
from service.api.views.samples import sample_cards
from service.domain.confidence import told_confidence
from service.domain.signal import SIGNALS
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_BARE = "predictions without features do not tell which samples are alike; upload features beside pred_probs"


@router.get("/jobs/{job_id}/signals", summary="Each signal over all samples", responses=problems(404, 409, 410))
def list_job_signals(job: CompletedJob, services: ServicesDependency) -> SignalList:
    """Each has its meaning, distribution, correlations with the others, and how well it found planted errors."""
    with services.database.read() as connection:
        known = rankings.summaries(connection, job.id)
    items = [
        SignalView.model_validate({**signal.model_dump(), **known[name]})
        for name, signal in SIGNALS.items()
        if name in known
    ]
    return SignalList(items=items, total=len(items), ranking=known.get("ranking", {}).get("by_kind", {}))


@router.get(
    "/jobs/{job_id}/groups",
    summary="Both parts of each label, and the label that each leans to",
    responses=problems(404, 409, 410),
)
def list_groups(job: CompletedJob, services: ServicesDependency) -> GroupList:
    """Each label as its two parts. Where one of them is a mistake that was made many times alike, one look tells which.

    A part that leans to another label lies beside samples of it. Look at these while nothing is verified: scores miss a cluster
    that the model has learnt. Labels with few samples, and labels that cannot be split, are left out.
    """
    items = group_views(services, job)
    return GroupList(items=items, total=len(items), note=_note(services, job))


def _note(services: Services, job: Job) -> str | None:
    return _BARE if find_dataset_of_job(services, job).is_bare else None


@router.get(
    "/jobs/{job_id}/verify-next", summary="The samples worth verifying first", responses=problems(404, 409, 410, 422)
)
def list_candidates(
    job: CompletedJob,
    services: ServicesDependency,
    count: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 50,
) -> CandidateList:
    """Labels take turns. For each label, the next sample is the one that adds most to what the earlier ones cover.

    A sample covers samples of its label that are similar in the model's features, so that few stand for many. Any first
    part of the list is as balanced as the whole list, which ends after 500. Reviewed samples are left out. Give the ids
    of those with a right label to the next job, as `reference.samples`.
    """
    proposals = verify_next(services, job, count)
    cards = sample_cards(services, job, [proposal.row for proposal in proposals])
    items = [
        Candidate(
            sample=card,
            given_label=proposal.row["given_label"],
            suggested_label=proposal.row["suggested_label"],
            suggested_confidence=proposal.row["suggested_confidence"],
            why=proposal.why,
        )
        for proposal, card in zip(proposals, cards, strict=True)
    ]
    return CandidateList(
        items=items, total=len(items), confidence=told_confidence(job.result), note=_note(services, job)
    )
