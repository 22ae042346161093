"""Items of a ranking as JSON, put together of pieces that are written once.

A page of 50 rows with 40 signals each takes milliseconds to validate and to write, and hundreds of clients ask for the same rows.
Nothing of a row changes but its place in a list and its review, so that the rest is kept as text. `Suspect` describes the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json

from service.actions.find import known_dataset_of_job
from service.actions.previews import previews
from service.api.views.links import job_sample_link, media_link
from service.api.views.samples import computed_signals, planted_view, review_view
from service.domain.dataset import DatasetInfo
from service.domain.review import Review
from service.domain.stage import FIRST
from service.label_studio.push.data_manager import task_links_in
from service.services import Services
from service.store import rankings, rescorings, reviews
from service.store.jobs import Job
from service.store.ranked_texts import RankedText
from service.store.ranking_columns import RankingColumns
from service.store.rankings import Row


@dataclass(frozen=True)
class RankedPage:
    """Which rows of a ranking are shown: their places in the upload and ranks, the first place in the list, and the signals.

    `columns` are those of the ranking; `signals` are names, None for all that the job computed.
    """

    columns: RankingColumns
    by: str
    index: Sequence[int]
    ranks: Sequence[int]
    first: int
    signals: Sequence[str] | None


def ranked_items(services: Services, connection: sa.Connection, job: Job, page: RankedPage) -> bytes:
    """The items of a page as a JSON list."""
    info = known_dataset_of_job(services, connection, job)
    texts = _texts(services, connection, job, info, page)
    link = task_links_in(connection, job)
    held = _reviews(services, connection, job, page.index, texts)
    pieces = []
    for place, (rank, text) in enumerate(zip(page.ranks, texts, strict=True), page.first):
        review = held.get(text.id)
        shown = "null" if review is None else _json(review_view(review, text.given, text.suggested))
        tool = "null" if link is None else _json(link(text.id))
        pieces.append(
            f'{{"rank":{rank},"place":{place},{text.sample}{tool}}}}},{text.labels},"score":{text.values[page.by]!r},'
            f'{text.verdict},"review":{shown},"signals":{text.shown(page.signals)}}}'
        )
    return f"[{','.join(pieces)}]".encode(errors="replace")


def _texts(
    services: Services, connection: sa.Connection, job: Job, info: DatasetInfo, page: RankedPage
) -> list[RankedText]:
    kept, index = services.ranked_texts, page.index
    version = FIRST if page.columns.scores else rescorings.version(connection, job.id)
    known = {place: text for place in index if (text := kept.get((job.id, version, place))) is not None}
    absent = [place for place in index if place not in known]
    if absent:
        rows = rankings.rows_of_version(connection, job.id, page.columns, absent)
        shown = previews(services, info, [row["position"] for row in rows])
        for row, preview in zip(rows, shown, strict=True):
            known[row["index"]] = kept.put((job.id, version, row["index"]), _text(job, info, row, preview))
    return [known[place] for place in index]


def _text(job: Job, info: DatasetInfo, row: Row, preview: dict[str, Any]) -> RankedText:
    name = row["sample_id"]
    links = {"self": job_sample_link(job.id, name), "media": media_link(info, name)}
    sample = _json({"id": name, "index": row["index"], "preview": preview, "links": links})
    labels = _json({key: row[key] for key in ("given_label", "suggested_label", "suggested_confidence")})
    return RankedText(
        id=name,
        given=row["given_label"],
        suggested=row["suggested_label"],
        # Open for the link to the labelling tool, which changes.
        sample=f'"sample":{sample.removesuffix("}}")},"tool":',
        labels=labels[1:-1],
        verdict=_json({"verdict": row["verdict"], "planted": planted_view(row)})[1:-1],
        values=computed_signals(row),
    )


def _reviews(
    services: Services, connection: sa.Connection, job: Job, index: Sequence[int], texts: Sequence[RankedText]
) -> dict[str, Review]:
    """The reviews that hold, by sample; none is looked for where the standing decisions say that there is none."""
    ranking = services.open_rankings.get(connection, services.blobs, job.id)
    decisions = ranking.standing.decisions(connection)[ranking.columns.rows_at(index)].tolist()
    decided = [text.id for text, decision in zip(texts, decisions, strict=True) if decision >= 0]
    return reviews.latest(connection, job.id, decided) if decided else {}


def _json(value: object) -> str:
    return to_json(value).decode()
