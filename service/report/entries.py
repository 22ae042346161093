"""The samples of a report: the top of each ranking and a few members of each group, each with its reason."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.domain.dataset import DatasetInfo
from service.domain.reason import SampleFacts, WitnessFacts, describe_anomaly, explain_briefly
from service.domain.review import Review, review_outcome
from service.domain.signal import SIGNALS
from service.ingest.identities import identities
from service.ingest.rows import previews_with_images
from service.report.facts import Entry, Group, SampleView
from service.report.pictures import thumbnail
from service.report.wording import cells
from service.store import evidence
from service.store.rankings import Row

Samples = Mapping[int, SampleView]


def load_samples(data: Path, dataset: DatasetInfo, positions: Collection[int]) -> Samples:
    """The samples at these rows of the canonical file, by row. Each row group of the file is read once."""
    wanted = sorted(set(positions))
    rows = zip(wanted, identities(data, wanted), previews_with_images(data, wanted, thumbnail), strict=True)
    return {
        position: SampleView(identity.id, cells(dataset.modality, preview), picture)
        for position, identity, (preview, picture) in rows
    }


def entries(
    rows: Sequence[Row],
    by: str,
    samples: Samples,
    reviews: Mapping[str, Review],
    folder: Path,
    dataset: DatasetInfo,
) -> list[Entry]:
    """The top of a ranking by the signal `by`. `folder` has the evidence of the job; `reviews` are the latest, by sample."""
    decided = {
        row["sample_id"]: one.about(row["given_label"]) for row in rows if (one := reviews.get(row["sample_id"]))
    }
    return [
        Entry(
            rank=rank,
            id=row["sample_id"],
            sample=samples[row["position"]],
            given=row["given_label"],
            suggested=row["suggested_label"],
            confidence=row["suggested_confidence"],
            score=row[by],
            verdict=row["verdict"],
            why=_anomaly_reason(row) if by == "anomalous" else _label_reason(row, rank, folder, dataset),
            planted_kind=row["planted_kind"],
            planted_label=row["planted_label"],
            review=decided.get(row["sample_id"]),
            outcome=review_outcome(decided.get(row["sample_id"]), row["given_label"], row["suggested_label"]),
        )
        for rank, row in enumerate(rows, 1)
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
            confidence=row["suggested_confidence"],
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
