"""Exported programs on disk: the archive that torch.export.save writes, of which only JSON and plain bytes are read."""

import json
import zipfile
from pathlib import Path
from typing import Any

from service.domain.errors import FieldError, Invalid, UnreadableType
from service.domain.program import Program, Weight
from service.domain.program_parser import parse_program
from service.store.archives import damage_as

# Of all descriptions together: a Swin V2 of 24 blocks in the plainest operators has 10 MB with 350,000 values.
_LONGEST = 2**25
_MOST_VALUES = 2_000_000
# Tensors may repeat what is stored, and share it, but not be out of all proportion to it.
_REPEATED, _HARMLESS = 4, 2**28


class ProgramFile:
    """An open program archive, closed by `with`. `expanded` is the size in bytes of its files, unpacked, as it states.

    Raises UnreadableType for a file that is no such archive.
    """

    def __init__(self, path: Path) -> None:
        with damage_as(lambda error: UnreadableType(f"the file: not a whole archive: {error}")):
            self._archive = zipfile.ZipFile(path)
        self._sizes = {one.filename: one.file_size for one in self._archive.infolist()}
        self.expanded = sum(one.file_size for one in self._archive.infolist())
        models = [name for name in self._sizes if "/models/" in name and name.endswith(".json")]
        if len(models) != 1:
            self._archive.close()
            raise UnreadableType(f"the file: {_others(list(self._sizes))}")
        self._model = models[0]
        self._root, _, file = models[0].partition("/models/")
        self._name = file.removesuffix(".json")

    def __enter__(self) -> "ProgramFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def program(self) -> Program:
        """The parsed program. Raises Invalid for what is not supported, and for tensors that are cut short."""
        found = parse_program(*self.descriptions())
        for weight in found.weights:
            if self._sizes.get(self._place(weight), -1) < weight.bytes:
                raise _cut(weight)
        loaded = sum(weight.loaded for weight in found.weights)
        if loaded > max(_HARMLESS, _REPEATED * self.expanded):
            raise _fault(f"its tensors become {loaded:,} bytes, many times what it stores")
        return found

    def descriptions(self) -> tuple[Any, Any, Any]:
        """The JSON descriptions of the network, its weights and its constants. Raises Invalid where they are too long."""
        tables = (f"{self._root}/data/{kind}/{self._name}_{kind}_config.json" for kind in ("weights", "constants"))
        names = (self._model, *tables)
        if sum(self._sizes.get(name, 0) for name in names) > _LONGEST:
            raise _fault(f"its descriptions are longer than {_LONGEST:,} bytes")
        texts = [self._read(name) for name in names]
        # Each value takes far more memory than its text, and has one of these marks before it.
        if sum(text.count(mark) for text in texts for mark in (b"{", b"[", b",")) > _MOST_VALUES:
            raise _fault(f"its descriptions have more than {_MOST_VALUES:,} values")
        model, weights, constants = (_json(name, text) for name, text in zip(names, texts, strict=True))
        return model, weights, constants

    def bytes_of(self, weight: Weight) -> bytes:
        """The bytes of a stored tensor, little-endian. Raises Invalid where they are damaged."""
        found = self._read(self._place(weight))
        if len(found) < weight.bytes:
            raise _cut(weight)
        return found

    def _place(self, weight: Weight) -> str:
        return f"{self._root}/data/{weight.file}"

    def _read(self, name: str) -> bytes:
        if name not in self._sizes:
            raise _fault(f"{name} cannot be read: it is not there")
        with damage_as(lambda error: _fault(f"{name} cannot be read: {error}")):
            return self._archive.read(name)


def _json(name: str, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(f"{name} cannot be read: {error}") from error


def _others(names: list[str]) -> str:
    if any(name.endswith("data.pkl") for name in names):
        return (
            "a file of torch.save is a pickle, which may run commands when it is loaded, and is never read; save weights "
            "with safetensors.torch.save_file, or a whole network with torch.export.save"
        )
    if any(name.endswith(("serialized_exported_program.json", "serialized_state_dict.pt")) for name in names):
        return "saved by a torch that writes weights as pickles; export and save it again with torch 2.9 or newer"
    return "no program of torch.export is in it: exactly one models/….json is expected"


def _cut(weight: Weight) -> Invalid:
    return _fault(f"the bytes of {weight.name} are missing or cut short")


def _fault(msg: str) -> Invalid:
    return Invalid(f"the file: {msg}", errors=[FieldError(loc=["file"], msg=msg)])
