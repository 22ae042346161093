"""From bytes to a stored dataset. The same bytes and spec are stored once, whoever brings them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.digests import canonical_digest
from service.domain.errors import Damaged, disk_full
from service.domain.ids import new_id
from service.ingest.confined import Reading
from service.ingest.ingest import Ingested
from service.ingest.limits import Limits
from service.outbound.fetch import fetch
from service.services import Services
from service.store import datasets
from service.store.create import create_with_files
from service.store.originals import keep_original
from service.store.seal import check_folder, check_once, seal_folder

log = structlog.get_logger()

# Kinds of data whose upload is not kept, and why.
NOT_KEPT = {
    "trace": "the file of a training is not kept: correct the labels where the samples are",
    "predictions": "a file of predictions is not kept: correct the labels where the samples are",
}
_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})


@dataclass(frozen=True)
class UploadedFile:
    """A file on its way in: where it lies, what the client calls it, and the SHA-256 of its bytes in hexadecimal."""

    path: Path
    name: str
    digest: str


def _always() -> None:
    """Nobody can go away."""


def upload(
    services: Services, file: UploadedFile, spec: DatasetSpec, check: Callable[[], None] = _always
) -> DatasetInfo:
    """The dataset made of a file, read now unless it was read before, or its files were damaged.

    `check` is called a few times a second while it is read, and may raise to end that. Raises what IngestProcesses raises.
    """
    digest = f"sha256:{canonical_digest(file.digest, spec)}"
    with services.database.read() as connection:
        known = datasets.by_digest(connection, digest)
    if known is not None:
        _mend(services, known, file, spec, check)
        return known
    return _store(services, file, digest, spec, check)


def upload_from_url(
    services: Services, url: str, spec: DatasetSpec, check: Callable[[], None] = _always
) -> DatasetInfo:
    """The dataset made of what a URL leads to, see `upload`. Raises also what fetch raises."""
    path = services.blobs.uploads / f"{secrets.token_hex(16)}.part"
    try:
        fetched = fetch(url, path, services.settings)
        return upload(services, UploadedFile(path, fetched.filename, fetched.digest), spec, check)
    finally:
        path.unlink(missing_ok=True)


def _store(
    services: Services, file: UploadedFile, digest: str, spec: DatasetSpec, check: Callable[[], None]
) -> DatasetInfo:
    dataset_id, blobs = new_id("ds_"), services.blobs

    def make() -> DatasetInfo:
        found = _read(services, dataset_id, file, spec, check)
        return DatasetInfo(
            id=dataset_id,
            name=spec.name or _stem(file.name),
            digest=digest,
            created_at=services.now(),
            **{name: getattr(found, name) for name in found.__dataclass_fields__},
        )

    folder = blobs.dataset(dataset_id)
    return create_with_files(services.database, blobs, folder, make, datasets.add, datasets.by_digest)


def _read(
    services: Services, dataset_id: str, file: UploadedFile, spec: DatasetSpec, check: Callable[[], None]
) -> Ingested:
    """Write the files of a dataset."""
    blobs, limits = services.blobs, Limits(max_expanded_bytes=services.settings.max_expanded_bytes)
    data, skipped = blobs.canonical(dataset_id), blobs.skipped(dataset_id)
    found = services.ingests.ingest(Reading(file.path, file.name, spec, data, skipped, limits), check)
    if services.settings.keep_uploads and found.modality not in NOT_KEPT:
        keep_original(blobs, dataset_id, file.path, file.name, spec)
    return found


def _mend(
    services: Services, known: DatasetInfo, file: UploadedFile, spec: DatasetSpec, check: Callable[[], None]
) -> None:
    """Write the files of a known dataset again where one is damaged or missing: its upload is here once more."""
    blobs, folder = services.blobs, services.blobs.dataset(known.id)
    try:
        check_folder(blobs.fetch(folder))
        check_once(blobs.canonical(known.id))
    except (Damaged, FileNotFoundError) as error:
        log.warning("dataset damaged, made again of its upload", dataset=known.id, error=str(error))
    else:
        if not blobs.is_sound_in_store(folder):
            # The copy here is sound, and other hosts would find the other one.
            log.warning("dataset damaged in the store, stored again", dataset=known.id)
            blobs.upload(folder)
        return
    again = new_id("ds_")
    try:
        with disk_full():
            _read(services, again, file, spec, check)
            seal_folder(blobs.dataset(again))
        # Whoever has a damaged file open keeps it; whoever opens one now gets the new one.
        blobs.remove(folder)
        blobs.dataset(again).rename(folder)
        blobs.upload(folder)
    finally:
        blobs.remove(blobs.dataset(again))


def _stem(filename: str) -> str:
    name = Path(filename)
    return (name.with_suffix("") if name.suffix.lower() in _PACKED else name).stem or filename
