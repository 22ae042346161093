"""View of the groups of a job: samples of one label that stand apart from the rest of it."""

from service.api.schemas.signals import GroupView
from service.api.views.samples import sample_cards
from service.ingest.identities import identities
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

_GROUPS = "groups"
_PREVIEWS = 5


def group_views(services: Services, job: Job) -> list[GroupView]:
    """The best separated first, each with the ids of its samples and a few of them in short."""
    with services.database.read() as connection:
        found = rankings.summaries(connection, job.id).get(_GROUPS, {}).get("groups", [])
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
