"""From the bytes of an uploaded network to what is known of it. Nothing is ever unpickled, no code of a model is run."""

import shutil
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from service.actions.upload import UploadedFile
from service.domain.errors import UnreadableType
from service.domain.ids import new_id
from service.domain.network import NetworkInfo, NetworkKind, NetworkLayer
from service.domain.program import BYTE, SINGLE, Program
from service.ingest.limits import Limits
from service.ingest.readers.safetensors import looks_like_safetensors, open_tensors
from service.services import Services
from service.store import networks
from service.store.create import create_with_files
from service.store.programs import ProgramFile

_HEAD = 16
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_EXPECTED = (
    "weights as safetensors (safetensors.torch.save_file) or an exported program (.pt2, torch.export.save) are expected"
)


def take_network(services: Services, file: UploadedFile, name: str) -> NetworkInfo:
    """The network in a file, which is moved away, unless the same bytes were taken before.

    Raises UnreadableType, Malformed, Invalid, TooLarge and StorageFull.
    """
    digest, network_id = f"sha256:{file.digest}", new_id("net_")
    with services.database.read() as connection:
        known = networks.by_digest(connection, digest)
    if known is not None:
        return known
    place = services.blobs.network(network_id)

    def make() -> NetworkInfo:
        content = network_content(file.path, services.settings.max_expanded_bytes)
        size = file.path.stat().st_size
        place.parent.mkdir(parents=True)
        shutil.move(file.path, place)
        return NetworkInfo(id=network_id, name=name, digest=digest, bytes=size, created_at=services.now(), **content)

    return create_with_files(services.database, services.blobs, place.parent, make, networks.add, networks.by_digest)


def network_content(path: Path, max_bytes: int) -> dict[str, Any]:
    """Kind and contents of the network in a file, by the fields of `NetworkInfo`. Raises as `take_network` does."""
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
