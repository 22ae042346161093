"""Which labels of a dataset people have verified."""

import sqlalchemy as sa

from service.domain.specs import JobSpec, Reference
from service.ingest.identities import labels_of, missing_ids
from service.store import reviews, versions
from service.store.blobs import Blobs


def verified(connection: sa.Connection, blobs: Blobs, dataset_id: str) -> list[str]:
    """Ids of the samples whose label in this dataset people have confirmed, sorted.

    Those that came with it as a version, and those of which the last word, in the chain of a job over it, is for the
    label that they carry here; none whose last word is another.
    """
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


def next_reference(connection: sa.Connection, blobs: Blobs, spec: JobSpec, dataset_id: str) -> Reference | None:
    """Of a job that is run again over this dataset: as before, without samples that are gone.

    Or what people have verified, where the loop of the job says so.
    """
    reference = spec.reference
    if spec.loop is not None and spec.loop.reference == "verified":
        samples = verified(connection, blobs, dataset_id)
        return Reference(samples=samples, trusted=True) if samples else reference
    if reference is None or reference.samples is None:
        return reference
    gone = set(missing_ids(blobs.canonical(dataset_id), reference.samples))
    left = [name for name in reference.samples if name not in gone]
    return Reference(samples=left, trusted=True) if left else None
