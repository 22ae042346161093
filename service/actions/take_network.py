"""From the bytes of an uploaded network to what is known of it. Nothing is ever unpickled, no code of a model is run."""

import errno
import shutil
from collections.abc import Callable
from datetime import datetime
from math import prod
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.errors import StorageFull, UnreadableType
from service.domain.network import NetworkInfo, NetworkKind, NetworkLayer
from service.domain.program import BYTE, SINGLE, Program
from service.ingest.limits import Limits
from service.ingest.readers.safetensors import looks_like_safetensors, open_tensors
from service.store import networks
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.programs import ProgramFile

_HEAD = 16
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_EXPECTED = (
    "weights as safetensors (safetensors.torch.save_file) or an exported program (.pt2, torch.export.save) are expected"
)


def take_network(
    database: Database, blobs: Blobs, path: Path, digest: str, name: str, network_id: str, max_bytes: int, now: datetime
) -> NetworkInfo:
    """The network in the file at `path`, which is moved away, unless the same bytes were taken before.

    Raises UnreadableType, Malformed, Invalid, TooLarge and StorageFull.
    """
    with database.read() as connection:
        known = networks.by_digest(connection, digest)
    if known is not None:
        return known
    told = _looked_into(path, max_bytes)
    info = NetworkInfo(id=network_id, name=name, digest=digest, bytes=path.stat().st_size, created_at=now, **told)
    place = blobs.network(network_id)
    try:
        place.parent.mkdir(parents=True)
        shutil.move(path, place)
        with database.write() as connection:
            networks.add(connection, info)
    except BaseException as error:
        blobs.remove(place.parent)
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise StorageFull("the disk of this installation is full; nothing was kept") from error
        if not isinstance(error, sa.exc.IntegrityError):
            raise
        # Somebody else brought the same in the meantime.
        with database.read() as connection:
            known = networks.by_digest(connection, digest)
        if known is None:
            raise
        return known
    return info


def _looked_into(path: Path, max_bytes: int) -> dict[str, Any]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    kind = _kind(head, path.stat().st_size)
    return {"kind": kind, **_READERS[kind](path, max_bytes)}


def _kind(head: bytes, size: int) -> NetworkKind:
    if head.startswith(_ZIP):
        return "program"
    if looks_like_safetensors(head, size):
        return "state"
    if head.startswith(_PICKLE):
        raise UnreadableType(
            f"the file is a pickle, which may run commands when it is loaded, and is never read; {_EXPECTED}"
        )
    raise UnreadableType(f"the file is of no kind that is read here; {_EXPECTED}")


def _state(path: Path, _max_bytes: int) -> dict[str, Any]:
    arrays, _ = open_tensors(path)
    if not arrays:
        raise UnreadableType(f"the file holds no tensor; {_EXPECTED}")
    return {"tensors": len(arrays), "numbers": sum(prod(one.shape) for one in arrays.values())}


def _program(path: Path, max_bytes: int) -> dict[str, Any]:
    with ProgramFile(path) as file:
        Limits(max_expanded_bytes=max_bytes).check_expansion(path.stat().st_size, file.expanded)
        found = file.program()
    found.layer(None)  # which raises where there is none
    return {
        "tensors": len(found.weights),
        "numbers": sum(prod(one.shape) for one in found.weights),
        "input": list(found.shape),
        "input_type": _TYPES.get(found.dtype, "other"),
        "layers": _layers(found),
    }


_TYPES = {SINGLE: "float32", BYTE: "uint8"}
_READERS: dict[NetworkKind, Callable[[Path, int], dict[str, Any]]] = {"state": _state, "program": _program}


def _layers(found: Program) -> list[NetworkLayer]:
    return [NetworkLayer(name=one.name, in_features=one.inside, out_features=one.outside) for one in found.layers]
