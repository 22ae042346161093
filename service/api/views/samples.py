"""Views of ranked samples: in short, with their signals, their planted error and their review."""

from collections.abc import Sequence
from typing import Any

from service.actions.find import find_dataset_of_job
from service.actions.previews import previews
from service.api.schemas.samples import PlantedGlitch, ReviewView, SampleCard, SampleLinks
from service.api.views.links import job_sample_link, media_link
from service.domain.review import Review, review_outcome
from service.domain.signal import SIGNALS
from service.label_studio.push.data_manager import task_links
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job
from service.store.rankings import Row


def sample_cards(services: Services, job: Job, rows: Sequence[Row]) -> list[SampleCard]:
    """One card for each row of the ranking, in their order."""
    info = find_dataset_of_job(services, job)
    shown = previews(services, info, [row["position"] for row in rows])
    tool = task_links(services, job)
    return [
        SampleCard(
            id=row["sample_id"],
            index=row["index"],
            preview=preview,
            links=SampleLinks(
                self=job_sample_link(job.id, row["sample_id"]),
                media=media_link(info, row["sample_id"]),
                tool=tool(row["sample_id"]),
            ),
        )
        for row, preview in zip(rows, shown, strict=True)
    ]


def review_view(review: Review | None, given: str, suggested: str) -> ReviewView | None:
    """The decision that holds, whichever job of the chain it was given to, and what it says of the suspicion."""
    if review is None:
        return None
    word = review.about(given)
    return ReviewView.model_validate({**word.model_dump(), "outcome": review_outcome(word, given, suggested)})


def review_views(services: Services, job: Job, sample_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The review that holds of each sample, by its id, in terms of this job's labels; null where none does."""
    with services.database.read() as connection:
        rows = rankings.rows_by_id(connection, job.id, sample_ids)
        held = reviews.latest(connection, job.id, sample_ids)
    found = []
    for name in sample_ids:
        row, review = rows.get(name), held.get(name)
        own = (review and review.given_label) or ""  # of a sample that was held out of the ranking
        given, suggested = (row["given_label"], row["suggested_label"]) if row else (own, own)
        shown = review_view(review, given, suggested)
        found.append({"sample_id": name, "review": shown and shown.model_dump(mode="json")})
    return found


def planted_view(row: Row) -> PlantedGlitch | None:
    """The error that the job planted in a row; None where it planted none."""
    if row["planted_kind"] is None:
        return None
    return PlantedGlitch(kind=row["planted_kind"], original_label=row["planted_label"])


def computed_signals(row: Row) -> dict[str, float]:
    """Values of the signals that the job computed, by name; higher = more suspicious."""
    return {name: row[name] for name in SIGNALS if row[name] is not None}
