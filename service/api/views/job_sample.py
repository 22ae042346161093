"""View of everything that a job knows of one sample."""

from collections.abc import Sequence
from typing import Any

from service.actions.find import find_dataset_of_job
from service.api.schemas.samples import InfluentialSample, JobSample
from service.api.views.links import job_sample_link, media_link, sample_link
from service.api.views.samples import computed_signals, planted_view, review_view
from service.domain.confidence import told_confidence
from service.domain.dataset import DatasetInfo
from service.domain.errors import NotFound
from service.domain.reason import SampleFacts, WitnessFacts, explain
from service.ingest.identities import Identity, identities
from service.ingest.rows import row_at, sample_row
from service.label_studio.push.data_manager import task_links
from service.services import Services
from service.store import evidence, rankings, reviews
from service.store.evidence import Evidence, Influential
from service.store.jobs import Job
from service.store.rankings import Row


def job_sample_view(services: Services, job: Job, sample_id: str) -> JobSample:
    """One row of a completed job's dataset, ranked or held out of the ranking. Raises NotFound."""
    info = find_dataset_of_job(services, job)
    with services.database.read() as connection:
        row = rankings.get(connection, job.id, sample_id)
        held = reviews.latest(connection, job.id, [sample_id]).get(sample_id)
        signals, ranks = {}, {}
        if row is not None:
            signals = computed_signals(row)
            columns = services.open_rankings.get(connection, services.blobs, job.id).columns
            ranks = rankings.ranks(connection, job.id, columns, row, list(signals))
    data = services.blobs.canonical(info.id)
    # The table knows where the row is; an id may be in any part of the file.
    found = sample_row(data, sample_id) if row is None else row_at(data, row["position"])
    if found is None:
        raise NotFound(f"no sample called {sample_id!r} in the dataset of this job")
    links = {
        "self": job_sample_link(job.id, sample_id),
        "media": media_link(info, sample_id),
        "tool": task_links(services, job)(sample_id),
    }
    about = {"id": sample_id, "index": found["index"], "features": found["features"], "links": links}
    if row is None:
        told = {
            "given_label": found["label"],
            "held_out": True,
            "reason": _held_out(job, found["split"]),
            "review": review_view(held, found["label"], found["label"]),
        }
        return JobSample.model_validate({**about, **told})
    review = review_view(held, row["given_label"], row["suggested_label"])
    return JobSample.model_validate({**about, "review": review, **_ranked(services, job, info, row, signals, ranks)})


def _held_out(job: Job, split: str) -> str:
    reference = job.spec.reference
    if split != "train":
        serves = reference is not None and reference.split == split
        role = "serves as the reference" if serves else "takes no part in this job"
        return f"Held out: it belongs to the split {split}, which {role}; only the split train is ranked."
    return "Held out: it is part of the reference, on which the influence of the others is measured."


def _ranked(
    services: Services, job: Job, info: DatasetInfo, row: Row, signals: dict[str, float], ranks: dict[str, int]
) -> dict[str, Any]:
    known = evidence.load(services.blobs.evidence(job.id), row["position"])
    supporting = _identified(services, known, known.supporting) if known else []
    opposing = _identified(services, known, known.opposing) if known else []
    by_class = {info.classes[place]: course for place, course in known.class_influence.items()} if known else {}
    heard = known.witnesses if known else None
    case = SampleFacts(
        given=row["given_label"],
        suggested=row["suggested_label"],
        verdict=row["verdict"],
        rank=ranks["mislabeled"],
        samples=(job.result or {})["samples"],
        epochs=known.epochs if known else (),
        margins=known.margin if known else (),
        supporters=[who.label for who, _ in supporting],
        opponents=[who.label for who, _ in opposing],
        class_influence=[(name, sum(course)) for name, course in by_class.items()],
        witnesses=WitnessFacts(info.classes[heard.place], heard.looked_at, heard.against) if heard else None,
        predicted=info.modality == "predictions",
    )
    return {
        "held_out": False,
        "reason": explain(case),
        "given_label": row["given_label"],
        "suggested_label": row["suggested_label"],
        "suggested_confidence": row["suggested_confidence"],
        "confidence": told_confidence(job.result),
        "verdict": row["verdict"],
        "planted": planted_view(row),
        "signals": {name: {"value": value, "rank": ranks[name]} for name, value in signals.items()},
        "trajectory": _trajectory(known, by_class),
        "supporting": _influential(known, supporting),
        "opposing": _influential(known, opposing),
        "witnesses": _counts(case.witnesses),
    }


def _counts(heard: WitnessFacts | None) -> dict[str, Any] | None:
    if heard is None:
        return None
    return {"class": heard.label, "looked_at": heard.looked_at, "against": heard.against}


def _trajectory(known: Evidence | None, by_class: dict[str, list[float]]) -> dict[str, Any] | None:
    if known is None:
        return None
    return {
        "epochs": known.epochs,
        "loss": known.loss,
        "margin": known.margin,
        "self_influence": known.self_influence,
        "class_influence": by_class,
    }


def _identified(
    services: Services, known: Evidence, influential: Sequence[Influential]
) -> list[tuple[Identity, Influential]]:
    who = identities(services.blobs.canonical(known.reference_dataset), [one.position for one in influential])
    return list(zip(who, influential, strict=True))


def _influential(known: Evidence | None, identified: Sequence[tuple[Identity, Influential]]) -> list[InfluentialSample]:
    if known is None:
        return []
    return [
        InfluentialSample(
            id=who.id,
            label=who.label,
            influence=one.influence,
            by_checkpoint=one.by_checkpoint,
            link=sample_link(known.reference_dataset, who.id),
        )
        for who, one in identified
    ]
