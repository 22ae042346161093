"""Contents of an uploaded network, from its bytes. Nothing is ever unpickled, no code of a model is run."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from service.domain.errors import UnreadableType
from service.domain.network import NetworkKind, NetworkLayer
from service.domain.program import BYTE, SINGLE, Program
from service.ingest.limits import Limits
from service.ingest.readers.safetensors import looks_like_safetensors, open_tensors
from service.store.programs import ProgramFile

_HEAD = 16
_LONGEST_HEADER = 2**20  # of a few thousand tensors: a network has hundreds
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_EXPECTED = (
    "weights as safetensors (safetensors.torch.save_file) or an exported program (.pt2, torch.export.save) are expected"
)


def network_content(path: Path, max_bytes: int) -> dict[str, Any]:
    """Kind and contents of the network in a file, by the fields of `NetworkInfo`.

    Raises UnreadableType, Malformed, Invalid and TooLarge.
    """
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
    arrays, _ = open_tensors(path, longest=_LONGEST_HEADER, advice="leave texts out of its metadata")
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
        "layers": [one.model_dump() for one in _layers(found)],
    }


_TYPES = {SINGLE: "float32", BYTE: "uint8"}
_READERS: dict[NetworkKind, Callable[[Path, int], dict[str, Any]]] = {"state": _state, "program": _program}


def _layers(found: Program) -> list[NetworkLayer]:
    return [NetworkLayer(name=one.name, in_features=one.inside, out_features=one.outside) for one in found.layers]
