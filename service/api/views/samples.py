"""Views of ranked samples: in short, with their signals, their planted error and their review."""

from collections.abc import Sequence

from service.actions.find import find_dataset_of_job
from service.api.schemas.samples import PlantedGlitch, ReviewView, SampleCard, SampleLinks
from service.api.views.links import job_sample_link, media_link
from service.domain.review import Review, review_outcome
from service.domain.signal import SIGNALS
from service.ingest.rows import previews
from service.label_studio.push.tab import task_links
from service.services import Services
from service.store.jobs import Job
from service.store.rankings import Row


def sample_cards(services: Services, job: Job, rows: Sequence[Row]) -> list[SampleCard]:
    """One card for each row of the ranking, in their order."""
    info = find_dataset_of_job(services, job)
    shown = previews(services.blobs.canonical(info.id), [row["position"] for row in rows])
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


def planted_view(row: Row) -> PlantedGlitch | None:
    """The error that the job planted in a row; None where it planted none."""
    if row["planted_kind"] is None:
        return None
    return PlantedGlitch(kind=row["planted_kind"], original_label=row["planted_label"])


def computed_signals(row: Row) -> dict[str, float]:
    """Values of the signals that the job computed, by name; higher = more suspicious."""
    return {name: row[name] for name in SIGNALS if row[name] is not None}
