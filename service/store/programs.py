"""Exported programs on disk: the archive that torch.export.save writes, of which only JSON and plain bytes are read."""

import json
import zipfile
from pathlib import Path
from typing import Any

from service.domain.errors import FieldError, Invalid, TooLarge, UnreadableType
from service.domain.program import Program, Weight, parse

_LONGEST = 2**26  # bytes of one description


class ProgramFile:
    """An open archive; a context. `max_bytes` is the limit of what it may hold, expanded."""

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UnreadableType(f"the file: not a whole archive: {error}") from error
        self._sizes = {one.filename: one.file_size for one in self._archive.infolist()}
        if max_bytes is not None and sum(self._sizes.values()) > max_bytes:
            self._archive.close()
            raise TooLarge(f"the exported program holds more than {max_bytes:,} bytes, the limit of this installation")
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
        """What it does. Raises Invalid for what is not taken, or is cut short."""
        found = parse(*self.descriptions())
        for weight in found.weights:
            if self._sizes.get(self._place(weight), -1) < weight.bytes:
                raise _fault(f"the bytes of {weight.name} are missing or cut short")
        return found

    def descriptions(self) -> tuple[Any, Any, Any]:
        """Those of the network, of its weights and of its constants."""
        weights, constants = (
            self._json(f"{self._root}/data/{kind}/{self._name}_{kind}_config.json") for kind in ("weights", "constants")
        )
        return self._json(self._model), weights, constants

    def bytes_of(self, weight: Weight) -> bytes:
        """The bytes of a stored tensor's storage, little-endian."""
        return self._archive.read(self._place(weight))

    def _place(self, weight: Weight) -> str:
        return f"{self._root}/data/{weight.file}"

    def _json(self, name: str) -> Any:
        if self._sizes.get(name, 0) > _LONGEST:
            raise _fault(f"{name} is longer than {_LONGEST:,} bytes")
        try:
            return json.loads(self._archive.read(name))
        except (KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
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


def _fault(msg: str) -> Invalid:
    return Invalid(f"the file: {msg}", errors=[FieldError(loc=["file"], msg=msg)])
