"""Health of each class: how many of its samples look wrong, and as what."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.actions.find import find_dataset_of_job
from service.services import Services
from service.store import rankings
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns
from service.store.standing import DECISIONS

Array = npt.NDArray[Any]
_SUMMARY = "classes"


@dataclass(frozen=True)
class ClassHealth:
    """One class of a ranking: numbers of samples with this given label.

    `arriving`: samples of other labels for which this one is suggested. `confused_with` is the label that is most often suggested
    instead, of `confused` samples. `held_out_agreement` is the share for which a guess without the sample's label is that label.
    """

    label: str
    samples: int
    mislabeled: int
    anomalous: int
    decided: int
    wrong: int
    arriving: int
    confused_with: str | None
    confused: int
    held_out_agreement: float | None


def class_health(services: Services, job: Job) -> list[ClassHealth]:
    """Every class that has samples, the largest share of flagged ones first."""
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        held = ranking.standing.now(connection)
        held_out = rankings.summary(connection, job.id, _SUMMARY).get("held_out_agreement", {})
    known = set(find_dataset_of_job(services, job).classes)
    return ranking.remembered(
        ("classes", held.moment), lambda: _counted(ranking.columns, held.decisions, held_out, known)
    )


def _counted(
    columns: RankingColumns, decisions: Array, held_out: Mapping[str, float], known: Collection[str]
) -> list[ClassHealth]:
    names, given = columns.labels, np.asarray(columns.given)
    differs = given != columns.suggested

    def counted(rows: Array, of: Array = given) -> list[int]:
        found: list[int] = np.bincount(of[rows], minlength=len(names)).tolist()
        return found

    def decided(*some: str) -> Array:
        return np.isin(decisions, [DECISIONS.index(name) for name in some])

    samples, confused = counted(np.ones(len(columns), bool)), _most_confused(given, columns.suggested, differs)
    mislabeled, anomalous = (counted(columns.with_verdict(name)) for name in ("mislabeled", "anomalous"))
    judged, wrong = counted(decided("keep", "relabel", "remove")), counted(decided("relabel", "remove"))
    arriving = counted(differs, np.asarray(columns.suggested))
    items = [
        ClassHealth(
            label=name,
            samples=samples[place],
            mislabeled=mislabeled[place],
            anomalous=anomalous[place],
            decided=judged[place],
            wrong=wrong[place],
            arriving=arriving[place],
            confused_with=names[confused[place][0]] if place in confused else None,
            confused=confused[place][1] if place in confused else 0,
            held_out_agreement=held_out.get(name),
        )
        for place, name in enumerate(names)
        if samples[place] and name in known
    ]
    return sorted(items, key=lambda one: (-(one.mislabeled + one.anomalous) / one.samples, -one.samples, one.label))


def _most_confused(given: Array, suggested: Array, differs: Array) -> dict[int, tuple[int, int]]:
    """By class, the other class that is suggested most often, and how often."""
    width = int(max(given.max(initial=0), suggested.max(initial=0))) + 1
    codes, counts = np.unique(given[differs].astype(np.int64) * width + suggested[differs], return_counts=True)
    found: dict[int, tuple[int, int]] = {}
    for place in np.argsort(-counts, kind="stable").tolist():
        found.setdefault(int(codes[place]) // width, (int(codes[place]) % width, int(counts[place])))
    return found
