"""A corrected dataset, made of what people decided or of what a job suggests. The original is never touched."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from service.actions.find import find_completed_job, find_dataset
from service.actions.select_suspects import SuspectQuery, select
from service.actions.verified import verified_in
from service.domain.dataset import Applied, DatasetInfo, Lineage, VersionRequest
from service.domain.errors import FieldError, Invalid, invalid, invalid_fields
from service.domain.ids import new_id
from service.domain.review import Review
from service.ingest.amendments import Amendment, followed, read_amendments, write_amendments
from service.ingest.corrected import Corrected, correct
from service.ingest.identities import labels_of
from service.services import Services
from service.store import datasets, rankings, reviews, versions
from service.store.blobs import Blobs
from service.store.create import create_with_files
from service.store.jobs import Job
from service.store.originals import share_original, share_votes


@dataclass(frozen=True)
class Changes:
    """What is to be done, by sample id; `verified` are those whose label people have seen and found or made right."""

    labels: Mapping[str, str]
    removed: frozenset[str]
    verified: frozenset[str]
    held: Mapping[str, Review]  # the decisions behind them

    def digest(self, parent: DatasetInfo, applied: Applied) -> str:
        """The same changes of the same dataset have the same digest."""
        parts = [parent.digest, applied, sorted(self.labels.items()), sorted(self.removed), sorted(self.verified)]
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    def is_news(self, connection: sa.Connection, dataset_id: str) -> bool:
        """Whether the dataset would not be the same, and as well known, as it was made."""
        return bool(self.labels or self.removed) or self.verified != frozenset(
            versions.verified_ids(connection, dataset_id)
        )


def would_change(services: Services, job: Job) -> bool:
    """Whether the reviews of a completed job, as they hold now, would change or verify anything in its dataset."""
    with services.database.read() as connection:
        held = _seen(connection, services.blobs, job)
        if not held:
            return False
        return _reviewed(connection, services.blobs, job.dataset_id, held).is_news(connection, job.dataset_id)


def make_version_of(services: Services, dataset_id: str, request: VersionRequest) -> DatasetInfo:
    """The corrected dataset that a user asks for. Raises NotFound, Conflict, Gone, Invalid and StorageFull."""
    job = find_completed_job(services, request.job)
    if job.dataset_id != dataset_id:
        raise invalid(["job"], f"is over the dataset {job.dataset_id}, not over this one")
    return make_version(services, find_dataset(services, dataset_id), job, request.apply)


def make_version(services: Services, parent: DatasetInfo, job: Job, applied: Applied) -> DatasetInfo:
    """The corrected dataset, made now unless the same was made before. `job` is a completed one of `parent`.

    Raises Invalid where there is nothing to apply, or nothing to learn from would be left, and StorageFull.
    """
    blobs, dataset_id, now = services.blobs, new_id("ds_"), services.now()
    with services.database.read() as connection:
        changes = _changes(services, connection, job, applied)
        digest = changes.digest(parent, applied)
        known = datasets.by_digest(connection, digest)
    if known is not None:
        return known

    def make() -> DatasetInfo:
        source, target = blobs.canonical(parent.id), blobs.canonical(dataset_id)
        found = correct(source, target, changes.labels, changes.removed, changes.held)
        _check(found)
        share_votes(blobs, parent.id, dataset_id)
        _keep_history(blobs, parent, dataset_id, _amendments(changes, found))
        return _described(parent, job, applied, found, changes, dataset_id, digest, now)

    def add(connection: sa.Connection, info: DatasetInfo) -> None:
        versions.add(connection, info, sorted(changes.verified), now)

    return create_with_files(services.database, blobs, blobs.dataset(dataset_id), make, add, datasets.by_digest)


def _amendments(changes: Changes, found: Corrected) -> Iterator[Amendment]:
    """What was decided of each sample of the parent, and by whom. Those that only a ranking knows are suggestions."""
    for name, (index, given) in found.before.items():
        review = changes.held.get(name)
        label = None if name in changes.removed else changes.labels.get(name, given)
        decision = "suggestion" if review is None else review.decision
        yield Amendment(
            index, name, label, given, decision, None if review is None else review.reviewer or review.source
        )


def _keep_history(blobs: Blobs, parent: DatasetInfo, dataset_id: str, made: Iterator[Amendment]) -> None:
    """Keep what a download needs even when the parent is deleted: the upload, and what was changed in it."""
    earlier = read_amendments(blobs.amendments(parent.id)) if parent.lineage is not None else []
    if earlier is not None:  # else the parent was made before they were written down
        write_amendments(blobs.amendments(dataset_id), followed(earlier, made))
        share_original(blobs, parent.id, dataset_id)


def _changes(services: Services, connection: sa.Connection, job: Job, applied: Applied) -> Changes:
    blobs = services.blobs
    held = _seen(connection, blobs, job)
    changes = _reviewed(connection, blobs, job.dataset_id, held)
    if applied == "suggestions":
        # Whoever looked at a sample knows better than the ranking.
        labels = {**changes.labels, **_suggested(services, connection, job, held.keys() | changes.verified)}
        if not labels and not changes.removed:
            raise _nothing_to_apply("this job flags no sample as mislabeled")
        return replace(changes, labels=labels)
    if not held or not changes.is_news(connection, job.dataset_id):
        planted = "; errors that the job planted itself are not in the dataset" if job.spec.glitches else ""
        raise _nothing_to_apply(f"no review of this job would change or verify anything: review samples first{planted}")
    return changes


def _reviewed(connection: sa.Connection, blobs: Blobs, dataset_id: str, held: Mapping[str, Review]) -> Changes:
    before = frozenset(verified_in(connection, blobs, dataset_id))
    confirmed = {name for name, one in held.items() if one.decision in ("keep", "relabel")}
    doubted = {name for name, one in held.items() if one.decision in ("remove", "plausible", "unsure")}
    return Changes(
        labels={name: str(one.label) for name, one in held.items() if one.decision == "relabel"},
        removed=frozenset(name for name, one in held.items() if one.decision == "remove"),
        verified=before - doubted | confirmed,
        held=held,
    )


def _seen(connection: sa.Connection, blobs: Blobs, job: Job) -> dict[str, Review]:
    """The decisions that hold of the samples of a job's dataset, in its words: to relabel as it is called is to keep.

    Without those on samples that the job itself had changed.
    """
    held = reviews.latest(connection, job.id)
    rows = rankings.rows_by_id(connection, job.id, list(held)) if job.spec.glitches else {}
    given = labels_of(blobs.canonical(job.dataset_id), ids=held) if held else {}
    return {
        name: held[name].about(label)
        for name, label in given.items()
        if name not in rows or rows[name]["planted_kind"] is None
    }


def _suggested(services: Services, connection: sa.Connection, job: Job, seen: Collection[str]) -> dict[str, str]:
    found = select(services, connection, job, SuspectQuery(verdict="mislabeled"))
    return {
        row["sample_id"]: row["suggested_label"]
        for chunk in rankings.in_order(connection, job.id, found.columns, found.rows)
        for row in chunk
        if row["sample_id"] not in seen and row["planted_kind"] is None
    }


def _check(found: Corrected) -> None:
    left = [name for name, count in found.class_counts.items() if count]
    if len(left) < 2 or "train" not in found.splits:
        raise _nothing(
            f"nothing to learn from would be left: rows for training of two classes are needed, and {found.rows:,} rows of {len(left)} would be"
        )


def _described(
    parent: DatasetInfo,
    job: Job,
    applied: Applied,
    found: Corrected,
    changes: Changes,
    dataset_id: str,
    digest: str,
    now: datetime,
) -> DatasetInfo:
    lineage = Lineage(
        parent=parent.id,
        job=job.id,
        applied=applied,
        relabelled=found.relabelled,
        removed=found.removed,
        verified=len(changes.verified),
    )
    return parent.model_copy(
        update={
            "id": dataset_id,
            "digest": digest,
            "rows": found.rows,
            "classes": found.classes,
            "class_counts": found.class_counts,
            "splits": found.splits,
            "content_digest": found.content_digest,
            "skipped_rows": 0,
            "warnings": [one for one in parent.warnings if one.code != "skipped_rows"],
            "created_at": now,
            "lineage": lineage,
        }
    )


def _nothing_to_apply(msg: str) -> Invalid:
    """The error of a version that would be the dataset itself, which programs may take in its place."""
    return invalid_fields([FieldError(loc=["apply"], msg=msg)], members={"nothing_to_apply": True})


def _nothing(msg: str) -> Invalid:
    return invalid(["apply"], msg)
