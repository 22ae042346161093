"""Which labels of a dataset people have verified."""

import sqlalchemy as sa

from service.ingest.identities import labels_of
from service.store import reviews, versions
from service.store.blobs import Blobs


def verified(connection: sa.Connection, blobs: Blobs, dataset_id: str) -> list[str]:
    """Ids of the samples whose label in this dataset people have confirmed, sorted.

    Those that came with it as a version, and those of which the last word, in the chain of a job over it, is for the
    label that they carry here; none whose last word is another.
    """
    found, data = set(versions.verified(connection, dataset_id)), blobs.canonical(dataset_id)
    words = reviews.on_dataset(connection, dataset_id)
    # A dataset whose tasks are still to be pulled has no samples.
    given = labels_of(data, ids=words) if words and data.exists() else {}
    for name, label in given.items():
        if words[name].about(label).decision == "keep":
            found.add(name)
        else:
            found.discard(name)
    return sorted(found)
