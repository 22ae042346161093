"""Reads the facts of a report from the database and the files of a job: aggregates and top rows only."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from service.domain.confidence import told_confidence
from service.domain.dataset import DatasetInfo
from service.domain.issue import ISSUES
from service.domain.issue import SUMMARY as ISSUES_FOUND
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_rank
from service.domain.review import Outcome
from service.domain.signal import HEADLINES, SIGNALS
from service.report.entries import entries, group, load_samples
from service.report.facts import DataProblem, Detected, Epoch, Facts, Planted, Ranking, Reviewed, Scores, SignalFacts
from service.report.wording import VERDICTS
from service.services import Services
from service.store import datasets, job_events, outcomes, rankings, reviews, tallies
from service.store.jobs import Job
from service.store.open_rankings import OpenRanking
from service.store.ranking_columns import RankingColumns

_TOP = 50  # samples of each ranking
# Samples of each ranking that the summary shows: cards of images, and rows of other data.
_CARDS = {"mislabeled": 12, "anomalous": 6}
_ROWS = {"mislabeled": 10, "anomalous": 3}
_BINS = 40
_PAIRS = 400  # pairs of labels: the number of fields of the largest figure
_GROUPS, _MEMBERS = 6, 5
_EDGES = [place / _BINS for place in range(_BINS + 1)]

Ranked = list[tuple[int, rankings.Row]]  # each with its rank


def gather(services: Services, job: Job, dataset: DatasetInfo, verified: int) -> Facts:
    """The facts of a report of this completed job, of whose ranked samples people have verified so many."""
    blobs = services.blobs
    with services.database.read() as connection:
        summaries = rankings.summaries(connection, job.id)
        ranking = services.open_rankings.get(connection, blobs, job.id)
        columns = ranking.columns
        tops = _tops(connection, job.id, columns)
        latest = reviews.latest(connection, job.id, [row["sample_id"] for rows in tops.values() for _, row in rows])
        aggregates: dict[str, Any] = {
            "reference": datasets.get(connection, job.reference_dataset_id) if job.reference_dataset_id else None,
            **_counted(connection, job.id, ranking, dataset),
            "epochs": _epochs(connection, job.id),
            "reviewed": _reviewed(connection, job.id, ranking),
        }
    data, folder = blobs.canonical(dataset.id), blobs.evidence(job.id)
    split = {by: _split(by, rows, dataset) for by, rows in tops.items()}
    first = [row["position"] for leading, _ in split.values() for _, row in leading]
    rest = [row["position"] for _, others in split.values() for _, row in others]
    groups = _groups(summaries, {*first, *rest})
    rest += [position for one in groups for position in one["positions"]]
    # Reviews change neither the rows of a dataset nor which of them a version of a ranking shows: they are read once.
    samples = ranking.remembered(
        ("samples of the report", dataset.id, *first, None, *rest), lambda: load_samples(data, dataset, first, rest)
    )
    told = told_confidence(job.result) == "probability"
    ranked: dict[str, Any] = {
        by: Ranking(*(entries(rows, by, samples, latest, folder, dataset, confidence_told=told) for rows in parts))
        for by, parts in split.items()
    }
    return Facts(
        job=job,
        dataset=dataset,
        verified=verified,
        result=job.result or {},
        verdicts=dict(columns.counts),
        **ranked,
        groups=[group(one, samples) for one in groups],
        problems=_problems(summaries.get(ISSUES_FOUND, {})),
        signals=[_signal(name, summaries[name]) for name in SIGNALS if name in summaries],
        planted=_planted(summaries),
        **aggregates,
    )


def _counted(connection: sa.Connection, job_id: str, ranking: OpenRanking, dataset: DatasetInfo) -> dict[str, Any]:
    """What follows from the ranking alone, whatever was reviewed."""
    columns = ranking.columns

    def scores() -> Scores:
        return Scores(_EDGES, tallies.histogram(connection, job_id, columns, "mislabeled", _EDGES))

    classes = ranking.remembered("classes of the report", lambda: tallies.by_class(columns))
    return {
        "classes": _in_order(classes, dataset.classes),
        "confusions": ranking.remembered(("confusions", _PAIRS), lambda: tallies.confusions(columns, _PAIRS)),
        "scores": ranking.remembered("scores of the report", scores),
    }


def _tops(connection: sa.Connection, job_id: str, columns: RankingColumns) -> dict[str, Ranked]:
    """The top of each ranking; a sample is in the first alone that has it."""
    found: dict[str, Ranked] = {}
    seen: set[str] = set()
    for by in HEADLINES:
        rows = enumerate(rankings.top(connection, job_id, columns, by, _TOP), 1)
        found[by] = [(rank, row) for rank, row in rows if row["sample_id"] not in seen]
        seen |= {row["sample_id"] for _, row in found[by]}
    return found


def _split(by: str, rows: Ranked, dataset: DatasetInfo) -> tuple[Ranked, Ranked]:
    """The rows of the summary and the others. Of anomalies only flagged ones are in the summary."""
    count = (_CARDS if dataset.modality == "image" else _ROWS)[by]
    if by == "anomalous":
        count = min(count, sum(row["verdict"] == by for _, row in rows))
        rows = sorted(rows, key=lambda one: one[1]["verdict"] != by)
    return rows[:count], rows[count:]


def _groups(summaries: Mapping[str, Mapping[str, Any]], shown: Collection[int]) -> list[dict[str, Any]]:
    """The first groups, each with the most typical members that are not `shown` elsewhere."""
    found, shown = [], set(shown)
    for one in summaries.get("groups", {}).get("groups", [])[:_GROUPS]:
        positions = [position for position in one["positions"] if position not in shown][:_MEMBERS]
        shown |= {*positions}
        found.append({**one, "positions": positions})
    return found


def _problems(issues: Mapping[str, Any]) -> list[DataProblem]:
    """The issues of which something was found."""
    return [
        DataProblem(
            title=ISSUES[one["type"]].title,
            detail=one["detail"],
            flagged=one["flagged"],
            samples=[sample["id"] for sample in one["samples"][:_MEMBERS]],
        )
        for one in issues.get("items", [])
        if one["found"]
    ]


def _in_order(found: Sequence[tallies.ClassTally], classes: Sequence[str]) -> list[tallies.ClassTally]:
    places = {label: place for place, label in enumerate(classes)}
    return sorted(found, key=lambda one: places.get(one.label, len(places)))


def _epochs(connection: sa.Connection, job_id: str) -> list[Epoch]:
    """Metrics by epoch; when an epoch was reported twice, the later report counts."""
    metrics = {
        one.data["epoch"]: one.data for one in job_events.after_number(connection, job_id, 0) if one.kind == "metrics"
    }
    return [Epoch(number, metrics[number]["loss"], metrics[number]["accuracy"]) for number in sorted(metrics)]


def _reviewed(connection: sa.Connection, job_id: str, ranking: OpenRanking) -> Reviewed:
    seen = outcomes.of_ranking(connection, ranking)
    flagged, order = seen.flagged, ranking.columns.order(connection, job_id, "mislabeled")
    return Reviewed(
        samples=seen.reviewed,
        pending=flagged[Outcome.PENDING],
        every=reviewed_share(seen.every),
        flagged=reviewed_share(flagged),
        by_verdict={verdict: reviewed_share(seen.by_verdict.get(verdict, {})) for verdict in VERDICTS},
        bands=shares_by_rank(seen.first(order, BAND_ENDS[-1]), seen.every),
        outcomes={one: (seen.every[one], flagged[one]) for one in Outcome if one is not Outcome.PENDING},
    )


def _signal(name: str, summary: Mapping[str, Any]) -> SignalFacts:
    signal = SIGNALS[name]
    return SignalFacts(
        name=name,
        title=signal.title,
        high=signal.high,
        headline=signal.headline,
        edges=summary["histogram"]["edges"],
        counts=summary["histogram"]["counts"],
        quantiles=summary["quantiles"],
        correlations=summary["correlations"],
    )


def _planted(summaries: Mapping[str, Mapping[str, Any]]) -> list[Planted]:
    """All planted glitches together, then each kind when there are several."""
    names = [name for name in SIGNALS if name in summaries and summaries[name]["detection"]]
    if not names:
        return []
    by_kind: dict[str, dict[str, Any]] = {"all": {name: summaries[name]["detection"] for name in names}}
    kinds = sorted({kind for name in names for kind in summaries[name].get("detection_by_kind", {})})
    for kind in kinds if len(kinds) > 1 else ():
        by_kind[kind] = {name: summaries[name]["detection_by_kind"][kind] for name in names}
    return [_detections(kind, found) for kind, found in by_kind.items()]


def _detections(kind: str, found: Mapping[str, Mapping[str, Any]]) -> Planted:
    detections = [
        Detected(
            name=name,
            title=SIGNALS[name].title,
            headline=SIGNALS[name].headline,
            precision=one["precision"],
            recall=one["recall"],
            f1=one["f1"],
            average_precision=one["average_precision"],
            auroc=one["auroc"],
        )
        for name, one in found.items()
    ]
    count = next(int(one["planted"]) for one in found.values())
    return Planted(kind, count, sorted(detections, key=lambda one: (-one.average_precision, one.name)))
