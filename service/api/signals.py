"""What a job knows of its samples together: each signal as a whole, groups that stand apart, what to verify next."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from service.api.http.dependencies import ServicesDependency, authorize
from service.api.http.errors import problems
from service.api.schemas.signals import Candidate, CandidateList, GroupList, GroupView, SignalList, SignalView
from service.api.suspects import Completed, dataset_of, sample_cards
from service.domain.signal import SIGNALS
from service.ingest.identities import identities
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_GROUPS = "groups"
_PROPOSALS = "proposals"
_COUNTS = ("turns", "closer", "among")
_PREVIEWS = 5
_BARE = "predictions without features do not tell which samples are alike; upload features beside pred_probs"


@router.get("/jobs/{job_id}/signals", summary="Each signal over all samples", responses=problems(404, 409, 410))
def list_job_signals(job: Completed, services: ServicesDependency) -> SignalList:
    """What each means, how it is distributed, its kinship with the others, and how it found what was planted."""
    with services.database.read() as connection:
        known = rankings.summaries(connection, job.id)
    items = [
        SignalView.model_validate({**signal.model_dump(), **known[name]})
        for name, signal in SIGNALS.items()
        if name in known
    ]
    return SignalList(items=items, total=len(items), ranking=known.get("ranking", {}).get("by_kind", {}))


@router.get("/jobs/{job_id}/groups", summary="Groups of samples that stand apart", responses=problems(404, 409, 410))
def list_groups(job: Completed, services: ServicesDependency) -> GroupList:
    """Inside each label, the samples that differ most as a group: the queue to look at as long as nothing is verified.

    Labels with few samples, or with no such group, are left out.
    """
    with services.database.read() as connection:
        found = rankings.summaries(connection, job.id).get(_GROUPS, {}).get("groups", [])
    items = _groups(services, job, found)
    return GroupList(items=items, total=len(items), note=_note(services, job))


def _note(services: Services, job: Job) -> str | None:
    return _BARE if dataset_of(services, job).is_bare else None


def _groups(services: Services, job: Job, found: Sequence[Mapping[str, Any]]) -> list[GroupView]:
    members = [position for group in found for position in group["positions"]]
    shown = [position for group in found for position in group["positions"][:_PREVIEWS]]
    names = dict(zip(members, identities(services.blobs.canonical(job.dataset_id), members), strict=True))
    with services.database.read() as connection:
        rows = rankings.rows_at(connection, job.id, shown)
    cards = dict(zip((row["position"] for row in rows), sample_cards(services, job, rows), strict=True))
    return [
        GroupView(
            label=group["label"],
            size=group["size"],
            separation=group["separation"],
            gap=group.get("gap", 0.0),
            sample_ids=[names[position].id for position in group["positions"]],
            previews=[cards[position] for position in group["positions"][:_PREVIEWS] if position in cards],
        )
        for group in found
    ]


@router.get(
    "/jobs/{job_id}/verify-next", summary="The samples worth verifying first", responses=problems(404, 409, 410, 422)
)
def list_candidates(
    job: Completed,
    services: ServicesDependency,
    count: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 50,
) -> CandidateList:
    """The given labels take turns; of each, the sample comes next that adds most to what the earlier ones cover.

    A sample covers those of its label that are like it in the model's features, so few stand for many, and any
    beginning of the list is as balanced as the whole; it ends after 500. Those that were reviewed are left out. Hand the
    ids of those that were found right back as `reference.samples` of the next job.
    """
    with services.database.read() as connection:
        found = rankings.summaries(connection, job.id).get(_PROPOSALS, {"positions": []})
        proposed = rankings.rows_at(connection, job.id, found["positions"])
        decided = reviews.latest(connection, job.id, [row["sample_id"] for row in proposed])
    rows = [row for row in proposed if row["sample_id"] not in decided][:count]
    places = {position: place for place, position in enumerate(found["positions"])}
    items = [
        Candidate(
            sample=card,
            given_label=row["given_label"],
            suggested_label=row["suggested_label"],
            suggested_confidence=row["suggested_confidence"],
            why=_why(row["given_label"], *(found[name][places[row["position"]]] for name in _COUNTS)),
        )
        for row, card in zip(rows, sample_cards(services, job, rows), strict=True)
    ]
    return CandidateList(items=items, total=len(items), note=_note(services, job))


def _why(label: str, turn: int, closer: int, among: int) -> str:
    if turn == 0:
        typical = f"Of {among + 1} samples labelled {label} that were looked at, none is more typical."
        return typical if among else f"The only sample labelled {label}."
    left = among - turn
    if left == 0:
        return f"The last of the samples labelled {label} that were looked at."
    others = f"{left} other sample{'s' * (left > 1)} labelled {label}"
    return f"Closer to it than to any earlier proposal: {closer} of {others}."
