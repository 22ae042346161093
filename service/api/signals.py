"""What a job knows of its samples together: each signal as a whole, groups that stand apart, what to verify next."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from service.api.deps import Here, Services, authorize
from service.api.errors import problems
from service.api.schemas import Candidate, CandidateList, GroupList, GroupView, SignalList, SignalView
from service.api.suspects import Completed, sample_cards
from service.domain.signal import SIGNALS
from service.ingest.identities import identities
from service.store import rankings
from service.store.jobs import Job
from service.store.rankings import Row

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_GROUPS = "groups"
_PREVIEWS = 5


@router.get("/jobs/{job_id}/signals", summary="Each signal over all samples", responses=problems(404, 409, 410))
def list_job_signals(job: Completed, here: Here) -> SignalList:
    """What each means, how it is distributed, its kinship with the others, and how it found what was planted."""
    with here.database.read() as connection:
        known = rankings.summaries(connection, job.id)
    items = [
        SignalView.model_validate({**signal.model_dump(), **known[name]})
        for name, signal in SIGNALS.items()
        if name in known
    ]
    return SignalList(items=items, total=len(items))


@router.get("/jobs/{job_id}/groups", summary="Groups of samples that stand apart", responses=problems(404, 409, 410))
def list_groups(job: Completed, here: Here) -> GroupList:
    """Inside each label, the samples that differ most as a group: the queue to look at as long as nothing is verified.

    Labels with few samples, or with no such group, are left out.
    """
    with here.database.read() as connection:
        found = rankings.summaries(connection, job.id).get(_GROUPS, {}).get("groups", [])
    items = _groups(here, job, found)
    return GroupList(items=items, total=len(items))


def _groups(here: Services, job: Job, found: Sequence[Mapping[str, Any]]) -> list[GroupView]:
    members = [position for group in found for position in group["positions"]]
    shown = [position for group in found for position in group["positions"][:_PREVIEWS]]
    names = dict(zip(members, identities(here.blobs.canonical(job.dataset_id), members), strict=True))
    with here.database.read() as connection:
        rows = rankings.at(connection, job.id, shown)
    cards = dict(zip((row["position"] for row in rows), sample_cards(here, job, rows), strict=True))
    return [
        GroupView(
            label=group["label"],
            size=group["size"],
            separation=group["separation"],
            sample_ids=[names[position].id for position in group["positions"]],
            previews=[cards[position] for position in group["positions"][:_PREVIEWS] if position in cards],
        )
        for group in found
    ]


@router.get(
    "/jobs/{job_id}/verify-next", summary="The samples worth verifying first", responses=problems(404, 409, 410, 422)
)
def list_candidates(
    job: Completed, here: Here, count: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 50
) -> CandidateList:
    """The given labels take turns; of each, the samples come first whose label the model is least certain of.

    A simple rule: it spreads the effort over the classes and puts it where the model has no answer of its own. Hand
    the ids of those that were found right back as `reference.samples` of the next job.
    """
    with here.database.read() as connection:
        rows = rankings.least_certain(connection, job.id, count)
    items = [
        Candidate(
            sample=card,
            given_label=row["given_label"],
            suggested_label=row["suggested_label"],
            suggested_confidence=row["suggested_confidence"],
            why=_why(row),
        )
        for row, card in zip(rows, sample_cards(here, job, rows), strict=True)
    ]
    return CandidateList(items=items, total=len(items))


def _why(row: Row) -> str:
    sure = f"with confidence {row['suggested_confidence']:.2f}"
    if row["suggested_label"] == row["given_label"]:
        return f"Its label {row['given_label']} fits best, but only {sure}."
    return f"Labelled {row['given_label']}; {row['suggested_label']} fits better, {sure}."
