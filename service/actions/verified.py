"""Samples whose labels people have verified."""

import sqlalchemy as sa

from service.domain.specs import JobSpec, Reference
from service.ingest.identities import labels_of, missing_ids
from service.services import Services
from service.store import reviews, versions
from service.store.blobs import Blobs


def verified(services: Services, dataset_id: str) -> list[str]:
    """Ids, sorted, of the samples whose label in this dataset people have confirmed.

    Versions start with the verified samples of their lineage. The latest review of a sample, in the chain of a job over
    the dataset, adds it when it agrees with the label here, and removes it otherwise.
    """
    with services.database.read() as connection:
        return verified_in(connection, services.blobs, dataset_id)


def verified_in(connection: sa.Connection, blobs: Blobs, dataset_id: str) -> list[str]:
    """The same, as part of a transaction."""
    found, data = set(versions.verified_ids(connection, dataset_id)), blobs.canonical(dataset_id)
    words = reviews.latest_of_dataset(connection, dataset_id)
    # A dataset whose tasks are still to be pulled has no samples.
    given = labels_of(data, ids=words) if words and data.exists() else {}
    for name, label in given.items():
        if words[name].about(label).decision == "keep":
            found.add(name)
        else:
            found.discard(name)
    return sorted(found)


def next_reference(services: Services, spec: JobSpec, dataset_id: str) -> Reference | None:
    """Reference of a job that is run again over this dataset: the one before, without samples that were removed.

    Where the job's loop says so, all verified samples instead.
    """
    reference = spec.reference
    if spec.loop is not None and spec.loop.reference == "verified":
        samples = verified(services, dataset_id)
        return Reference(samples=samples, trusted=True) if samples else reference
    if reference is None or reference.samples is None:
        return reference
    gone = set(missing_ids(services.blobs.canonical(dataset_id), reference.samples))
    left = [name for name in reference.samples if name not in gone]
    return Reference(samples=left, trusted=True) if left else None
