"""View of the groups of a job: both parts of each label."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.api.schemas.samples import SampleCard
from service.api.schemas.signals import GroupPart, GroupView
from service.api.views.samples import sample_cards
from service.ingest.identities import identities
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

_GROUPS = "groups"
_PREVIEWS, _PREVIEWS_OF_PART = 5, 10


def group_views(services: Services, job: Job) -> list[GroupView]:
    """The best separated first, each with the ids of its samples and a few of them in short."""
    with services.database.read() as connection:
        found = rankings.summary(connection, job.id, _GROUPS).get("groups", [])
    lists = [part["positions"] for group in found for part in [group, *group.get("parts", [])]]
    members = list(dict.fromkeys(position for one in lists for position in one))
    shown = list(dict.fromkeys(position for one in lists for position in one[:_PREVIEWS_OF_PART]))
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        names = ranking.remembered("groups", lambda: _ids(services, job, members))
        rows = rankings.rows_at(connection, job.id, ranking.columns, shown)
    cards = dict(zip((row["position"] for row in rows), sample_cards(services, job, rows), strict=True))
    return [
        GroupView(
            label=group["label"],
            size=group["size"],
            separation=group["separation"],
            gap=group.get("gap", 0.0),
            **_samples(group, names, cards, _PREVIEWS),
            parts=_parts(group, names, cards),
        )
        for group in found
    ]


def _ids(services: Services, job: Job, positions: Sequence[int]) -> dict[int, str]:
    named = identities(services.blobs.canonical(job.dataset_id), positions)
    return {position: one.id for position, one in zip(positions, named, strict=True)}


def _parts(group: Mapping[str, Any], names: Mapping[int, str], cards: Mapping[int, SampleCard]) -> list[GroupPart]:
    found = group.get("parts", [])
    smallest = min((part["size"] for part in found), default=0)
    largest = max((part["size"] for part in found), default=0)
    return [
        GroupPart(
            part=part["part"],
            size=part["size"],
            is_smaller=part["size"] == smallest < largest,
            leans_to=part["leans_to"],
            lean=part["lean"],
            **_samples(part, names, cards, _PREVIEWS_OF_PART),
        )
        for part in found
    ]


def _samples(
    part: Mapping[str, Any], names: Mapping[int, str], cards: Mapping[int, SampleCard], previews: int
) -> dict[str, Any]:
    positions = part["positions"]
    return {
        "sample_ids": [names[position] for position in positions],
        "previews": [cards[position] for position in positions[:previews] if position in cards],
    }
