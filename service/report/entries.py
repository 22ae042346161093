"""The samples that a report shows: the top of each ranking and a few of each group, with the reason where it is cheap."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.domain.dataset import DatasetInfo
from service.domain.reason import Case, Witnesses, brief, strangeness
from service.domain.review import Review, outcome
from service.domain.signal import SIGNALS
from service.ingest.identities import identities
from service.ingest.rows import pictured
from service.report.facts import Entry, Group, Shown
from service.report.pictures import thumbnail
from service.report.wording import cells
from service.store import evidence
from service.store.rankings import Row

Samples = Mapping[int, Shown]


def shown(data: Path, dataset: DatasetInfo, positions: Collection[int]) -> Samples:
    """The samples at these rows of the canonical file, by row; each row group is read once."""
    wanted = sorted(set(positions))
    found = zip(wanted, identities(data, wanted), pictured(data, wanted, thumbnail), strict=True)
    return {
        position: Shown(who.id, cells(dataset.modality, preview), picture)
        for position, who, (preview, picture) in found
    }


def entries(
    rows: Sequence[Row],
    by: str,
    samples: Samples,
    held: Mapping[str, Review],
    folder: Path,
    dataset: DatasetInfo,
) -> list[Entry]:
    """The top of a ranking; `folder` has the evidence of the job, `held` the reviews that hold, by sample."""
    words = {row["sample_id"]: one.about(row["given_label"]) for row in rows if (one := held.get(row["sample_id"]))}
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
            why=_strange(row) if by == "anomalous" else _course(row, rank, folder, dataset),
            planted_kind=row["planted_kind"],
            planted_label=row["planted_label"],
            review=words.get(row["sample_id"]),
            outcome=outcome(words.get(row["sample_id"]), row["given_label"], row["suggested_label"]),
        )
        for rank, row in enumerate(rows, 1)
    ]


def _strange(row: Row) -> str:
    return strangeness({name: row[name] for name in SIGNALS if row[name] is not None})


def _course(row: Row, rank: int, folder: Path, dataset: DatasetInfo) -> str:
    known = evidence.load(folder, row["position"])
    if known is None:
        return ""
    heard = known.witnesses
    return brief(
        Case(
            given=row["given_label"],
            suggested=row["suggested_label"],
            confidence=row["suggested_confidence"],
            verdict=row["verdict"],
            rank=rank,
            samples=dataset.rows,
            epochs=known.epochs,
            margins=known.margin,
            witnesses=Witnesses(dataset.classes[heard.place], heard.looked_at, heard.against) if heard else None,
            predicted=dataset.modality == "predictions",
        )
    )


def group(found: Mapping[str, Any], samples: Samples) -> Group:
    """What the worker wrote of a group, with those of its members whose positions it holds."""
    members = [samples[position] for position in found["positions"]]
    return Group(found["label"], found["size"], found["separation"], found.get("gap", 0.0), members)
