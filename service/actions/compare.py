"""Two jobs side by side: what a correction, or another way to train, changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from service.actions.find import check_signal, find_completed_job, find_dataset_of_job
from service.domain.comparison import DiffAccuracy, DiffItem, DiffList, DiffPlace, DiffSide, JobDiff
from service.domain.errors import invalid
from service.domain.specs import Reference
from service.domain.verdict import FLAGGED
from service.ingest.identities import ids_at, labels_of, missing_ids
from service.services import Services
from service.store import rankings
from service.store.differences import Differences, RankedSide, SampleList
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns

_COMPARED = ("reference", "model", "training", "influence", "glitches")
_OTHER = ("query", "other")


def compare(services: Services, job: Job, other: str | None, by: str, limit: int) -> JobDiff:
    """What differs between a completed job and the one called `other`, or the one whose reviews its dataset was made of.

    Samples are ranked by the signal `by`, and told by their ids; each list has at most `limit` items. Raises NotFound,
    Conflict, Gone and Invalid.
    """
    before, after = sorted((job, _other(services, job, other)), key=lambda one: (one.created_at, one.id))
    for one in (before, after):
        check_signal(one, by, "query", "by")
    # Neither of both changes any more unless its samples are scored again, and a million rows take most of a second.
    versions = [str((one.result or {}).get("rescored")) for one in (before, after)]
    key = (before.id, after.id, *versions, by, limit)
    known = services.compared.get(key)
    return services.compared.put(key, _compared(services, before, after, by, limit)) if known is None else known


def _compared(services: Services, before: Job, after: Job, by: str, limit: int) -> JobDiff:
    with services.database.read() as connection:
        pair = _Pair(services, connection, before, after, by, limit)
        shared, only_before, only_after = pair.differences.counts()
        return JobDiff(
            by=by,
            before=_side(services, connection, before),
            after=_side(services, connection, after),
            accuracy=_accuracy(services, before, after),
            differing=[name for name in _COMPARED if _part(before, name) != _part(after, name)],
            common=shared,
            only_before=only_before,
            only_after=only_after,
            **pair.lists(),
        )


def _other(services: Services, job: Job, named: str | None) -> Job:
    if named == job.id:
        raise invalid(_OTHER, "is this job; name another")
    if named is None:
        lineage = find_dataset_of_job(services, job).lineage
        if lineage is None:
            msg = "name a job: the dataset of this one was uploaded, not made of another job's reviews"
            raise invalid(_OTHER, msg)
        named = lineage.job
    return find_completed_job(services, named)


def _part(job: Job, name: str) -> Any:
    return getattr(job.spec, name)


def _side(services: Services, connection: sa.Connection, job: Job) -> DiffSide:
    counted = services.open_rankings.verdicts(connection, services.blobs, job.id)
    model = (job.result or {})["model"]
    return DiffSide(
        job=job.id,
        dataset=job.dataset_id,
        created_at=job.created_at,
        samples=sum(counted.values()),
        flagged=sum(counted.get(verdict, 0) for verdict in FLAGGED),
        train_accuracy=model.get("train_accuracy"),
        reference_accuracy=model.get("reference_accuracy"),
    )


def _accuracy(services: Services, before: Job, after: Job) -> DiffAccuracy:
    values = [(job.result or {})["model"].get("reference_accuracy") for job in (before, after)]
    note = _why_not(services, before, after)
    comparable = note is None and None not in values
    return DiffAccuracy(
        comparable=comparable,
        before=values[0],
        after=values[1],
        gain=values[1] - values[0] if comparable else None,
        note=note or "measured on the same samples with the same labels",
    )


def _why_not(services: Services, before: Job, after: Job) -> str | None:
    """Why accuracies on the references cannot be compared; None when they can."""
    first, second = before.spec.reference, after.spec.reference
    if first is None or second is None:
        return "not both jobs have a reference; name a split, a dataset or verified samples for both"
    if before.dataset_id == after.dataset_id and first == second:
        same_draw = first.holdout is None or before.spec.training.seed == after.spec.training.seed
        return None if same_draw else "each job drew its own holdout"
    if first.holdout is not None or second.holdout is not None:
        return "each job drew its own holdout; name a split, a dataset or verified samples for both"
    if first.dataset is not None and first.dataset == second.dataset:
        return None
    if _reference_labels(services, before, first) != _reference_labels(services, after, second):
        return "the references do not hold the same samples with the same labels"
    return None


def _reference_labels(services: Services, job: Job, reference: Reference) -> dict[str, str]:
    if reference.dataset is not None:
        return labels_of(services.blobs.canonical(reference.dataset))
    return labels_of(services.blobs.canonical(job.dataset_id), split=reference.split, ids=reference.samples)


@dataclass(frozen=True)
class _Pair:
    """Two jobs, and everything that is asked of them sample by sample."""

    services: Services
    connection: sa.Connection
    before: Job
    after: Job
    by: str
    limit: int

    @cached_property
    def differences(self) -> Differences:
        """What differs sample by sample."""
        return Differences(self._ranked(self.before), self._ranked(self.after))

    def _ranked(self, job: Job) -> RankedSide:
        columns = self._columns(job.id)
        ids = ids_at(self.services.blobs.canonical(job.dataset_id), columns.position)
        return RankedSide(columns, ids, columns.order(self.connection, job.id, self.by))

    def lists(self) -> dict[str, DiffList]:
        """Each list of the answer."""
        relabelled = self.differences.relabelled(self.limit)
        appeared, vanished = self.differences.appeared(self.limit), self.differences.vanished(self.limit)
        top = [self._top(job_id) for job_id in (self.before.id, self.after.id)]
        entered, left = _without(top[1], top[0]), _without(top[0], top[1])
        stayed = _without(top[1], entered)
        listed = {"relabelled": relabelled, "appeared": appeared, "vanished": vanished}
        listed |= {"entered": _all(entered), "left": _all(left), "moved": _all(stayed)}
        item = self._items(list(dict.fromkeys(name for one in listed.values() for name in one.ids)))
        made = {
            name: DiffList(items=[item(sample_id) for sample_id in one.ids], total=one.total)
            for name, one in listed.items()
        }
        moved = [one for one in made["moved"].items if one.before and one.after and one.before.rank != one.after.rank]
        return made | {"moved": DiffList(items=moved, total=len(moved))}

    def _top(self, job_id: str) -> list[str]:
        columns = self._columns(job_id)
        return [row["sample_id"] for row in rankings.top(self.connection, job_id, columns, self.by, self.limit)]

    def _columns(self, job_id: str) -> RankingColumns:
        return self.services.open_rankings.get(self.connection, self.services.blobs, job_id).columns

    def _items(self, ids: Sequence[str]) -> Callable[[str], DiffItem]:
        before, after = self._places(self.before.id, ids), self._places(self.after.id, ids)
        gone = [name for name in ids if name not in after]
        removed = set(missing_ids(self.services.blobs.canonical(self.after.dataset_id), gone)) if gone else set[str]()

        def item(sample_id: str) -> DiffItem:
            then, now = before.get(sample_id), after.get(sample_id)
            return DiffItem(sample_id=sample_id, before=then, after=now, why=_why(then, now, sample_id in removed))

        return item

    def _places(self, job_id: str, ids: Sequence[str]) -> dict[str, DiffPlace]:
        rows = rankings.rows_by_id(self.connection, job_id, ids)
        columns, by = self._columns(job_id), self.by
        columns.order(self.connection, job_id, by)
        places = columns.rows_at([row["index"] for row in rows.values()]).tolist()
        ranks = {
            name: columns.rank(by, place, row[by]) for place, (name, row) in zip(places, rows.items(), strict=True)
        }
        return {
            name: DiffPlace.model_validate({**row, "rank": ranks[name], "score": row[by]}) for name, row in rows.items()
        }


def _why(then: DiffPlace | None, now: DiffPlace | None, removed: bool) -> Any:
    if now is None:
        return "removed" if removed else "held_out"
    if then is None:
        return "new"
    if then.given_label != now.given_label:
        return "relabelled"
    return "rank" if then.verdict == now.verdict else "verdict"


def _without(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    known = frozenset(others)
    return [name for name in ids if name not in known]


def _all(ids: list[str]) -> SampleList:
    return SampleList(ids, len(ids))
