"""From bytes to a stored dataset: each set of bytes and spec once, whoever brings it."""

import hashlib
import json
import secrets
from pathlib import Path

import sqlalchemy as sa
from pydantic import BaseModel

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.ids import new_id
from service.ingest.ingest import ingest
from service.ingest.limits import Limits
from service.outbound.fetch import fetch
from service.services import Services
from service.store import datasets, idempotency

_PACKED = frozenset({".gz", ".bz2", ".xz", ".zst"})


def take_in(services: Services, path: Path, filename: str, file_digest: str, spec: DatasetSpec) -> DatasetInfo:
    """The dataset made of the file at `path`, read now unless it was read before. Raises what ingest raises."""
    digest = f"sha256:{request_digest(file_digest, spec)}"
    with services.database.read() as connection:
        known = datasets.by_digest(connection, digest)
    return known or _store(services, path, filename, digest, spec)


def take_in_url(services: Services, url: str, spec: DatasetSpec) -> DatasetInfo:
    """The dataset made of what a URL leads to. Raises what fetch and ingest raise."""
    path = services.blobs.uploads / f"{secrets.token_hex(16)}.part"
    try:
        fetched = fetch(url, path, services.settings)
        return take_in(services, path, fetched.filename, fetched.digest, spec)
    finally:
        path.unlink(missing_ok=True)


def _store(services: Services, path: Path, filename: str, digest: str, spec: DatasetSpec) -> DatasetInfo:
    dataset_id, blobs = new_id("ds_"), services.blobs
    limits = Limits(max_expanded_bytes=services.settings.max_expanded_bytes)
    try:
        found = ingest(path, filename, spec, blobs.canonical(dataset_id), blobs.skipped(dataset_id), limits)
        info = DatasetInfo(
            id=dataset_id,
            name=spec.name or _stem(filename),
            digest=digest,
            created_at=services.now(),
            **{name: getattr(found, name) for name in found.__dataclass_fields__},
        )
        with services.database.write() as connection:
            datasets.add(connection, info)
    except sa.exc.IntegrityError:
        # Somebody else brought the same in the meantime.
        blobs.remove(blobs.dataset(dataset_id))
        with services.database.read() as connection:
            known = datasets.by_digest(connection, digest)
        if known is None:
            raise
        return known
    except BaseException:
        blobs.remove(blobs.dataset(dataset_id))
        raise
    return info


def request_digest(*parts: str | BaseModel) -> str:
    """SHA-256 of texts and of models in their one canonical JSON form."""
    texts = [part if isinstance(part, str) else _canonical(part) for part in parts]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _canonical(model: BaseModel) -> str:
    return json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _stem(filename: str) -> str:
    name = Path(filename)
    return (name.with_suffix("") if name.suffix.lower() in _PACKED else name).stem or filename


def made_before(services: Services, key: str | None, body_digest: str) -> str | None:
    """Id of what an earlier request with this key made. Raises Invalid when that was another request."""
    if key is None:
        return None
    with services.database.read() as connection:
        return idempotency.find(connection, key, body_digest)
