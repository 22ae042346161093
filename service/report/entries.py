"""The samples of a report: the top of each ranking and a few members of each group, each with its reason."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from service.domain.dataset import DatasetInfo
from service.domain.reason import SampleFacts, WitnessFacts, describe_anomaly, explain_briefly
from service.domain.review import Review, review_outcome
from service.domain.signal import SIGNALS
from service.ingest.identities import identities
from service.ingest.rows import previews_with_images
from service.report.deviations import deviations
from service.report.facts import Entry, Group, SampleView
from service.report.pictures import CARD, ROW, thumbnail
from service.report.wording import cells
from service.store import evidence
from service.store.rankings import Row

Samples = dict[int, SampleView]


def load_samples(data: Path, dataset: DatasetInfo, first: Collection[int], rest: Collection[int]) -> Samples:
    """The samples at these rows of the canonical file, by row. The pictures of `first` are larger."""
    odd = deviations(data, dataset, {*first, *rest})
    return {
        position: SampleView(identity.id, cells(dataset.modality, preview, odd.get(position, ())), picture)
        for positions, side in ((sorted(set(rest)), ROW), (sorted(set(first)), CARD))
        for position, identity, (preview, picture) in zip(
            positions,
            identities(data, positions),
            previews_with_images(data, positions, partial(thumbnail, side=side)),
            strict=True,
        )
    }


def entries(
    rows: Sequence[tuple[int, Row]],
    by: str,
    samples: Samples,
    reviews: Mapping[str, Review],
    folder: Path,
    dataset: DatasetInfo,
    *,
    confidence_told: bool,
) -> list[Entry]:
    """Rows of the ranking by the signal `by`, each with its rank in the whole of it.

    `folder` has the evidence of the job; `reviews` are the latest, by sample.
    `confidence_told`: whether the confidence of suggestions is a probability.
    """
    decided = {
        row["sample_id"]: one.about(row["given_label"]) for _, row in rows if (one := reviews.get(row["sample_id"]))
    }
    return [
        Entry(
            rank=rank,
            id=row["sample_id"],
            sample=samples[row["position"]],
            given=row["given_label"],
            suggested=row["suggested_label"],
            confidence=row["suggested_confidence"] if confidence_told else None,
            verdict=row["verdict"],
            why=_anomaly_reason(row) if by == "anomalous" else _label_reason(row, rank, folder, dataset),
            planted_kind=row["planted_kind"],
            planted_label=row["planted_label"],
            review=decided.get(row["sample_id"]),
            outcome=review_outcome(decided.get(row["sample_id"]), row["given_label"], row["suggested_label"]),
        )
        for rank, row in rows
    ]


def _anomaly_reason(row: Row) -> str:
    return describe_anomaly({name: row[name] for name in SIGNALS if row[name] is not None})


def _label_reason(row: Row, rank: int, folder: Path, dataset: DatasetInfo) -> str:
    known = evidence.load(folder, row["position"])
    if known is None:
        return ""
    witnesses = known.witnesses
    return explain_briefly(
        SampleFacts(
            given=row["given_label"],
            suggested=row["suggested_label"],
            verdict=row["verdict"],
            rank=rank,
            samples=dataset.rows,
            epochs=known.epochs,
            margins=known.margin,
            witnesses=WitnessFacts(dataset.classes[witnesses.place], witnesses.looked_at, witnesses.against)
            if witnesses
            else None,
            predicted=dataset.modality == "predictions",
        )
    )


def group(found: Mapping[str, Any], samples: Samples) -> Group:
    """A group as the worker wrote it, with the samples at its `positions`."""
    members = [samples[position] for position in found["positions"]]
    return Group(found["label"], found["size"], found["separation"], found.get("gap", 0.0), members)
