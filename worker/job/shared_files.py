"""Files of a shared computation: the arrays that blocks read, written once, and what was computed of each block."""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from service.store.blobs import Blobs, claim_folder
from service.store.blocks import HelpedBlock
from service.store.seal import open_array, read_checked, sealed_write
from worker.influence.row_computations import Arrays, OfRows, Recipe
from worker.signals.shared_computations import OPENED_BY


@cache
def kind_of_process() -> str:
    """What two processes must have in common to compute the same bits, with as many threads."""
    try:
        own = version("usual-suspects")
    except PackageNotFoundError:
        own = "0"
    return f"{own}, torch {torch.__version__}, {_processor()}"


def _processor() -> str:
    # Libraries choose their kernels by more than the instructions that a processor has.
    capability = torch.backends.cpu.get_cpu_capability()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()}, {capability}, {names[0] if names else platform.processor()}"


@dataclass(frozen=True)
class OpenedComputation:
    """A computation as it was read from its files; blocks are to be computed with so many `threads`."""

    of_rows: OfRows
    threads: int


@dataclass(frozen=True)
class SharedFiles:
    """The files of one claim of a job."""

    blobs: Blobs
    job_id: str
    claim: str
    # Each with the array itself: while that lives, no other has its place in memory.
    _written: dict[tuple[object, ...], tuple[Tensor, Path]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Their folder, apart from that of any other claim."""
        return self.blobs.shared(self.job_id) / claim_folder(self.claim)

    def write_recipe(self, computation: str, recipe: Recipe, threads: int) -> None:
        """Write what blocks are computed from; an array that several computations read is written once, and must not change.

        Raises OSError and ArtefactsUnavailable.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for name, array in recipe.arrays.items():
            # Embeddings are the activations of a model that is nothing but a head, and features of the held-out guess.
            key = (array.data_ptr(), array.dtype, array.shape, array.stride())
            if key not in self._written:
                path = self.folder / f"{computation}-{name}.npy"
                with sealed_write(path) as part, part.open("wb") as file:
                    np.save(file, array.contiguous().numpy())
                self.blobs.upload(path)
                self._written[key] = (array, path)
            files[name] = self._written[key][1].name
        described = {"name": recipe.name, "numbers": dict(recipe.numbers), "threads": threads, "arrays": files}
        path = self._recipe(computation)
        with sealed_write(path) as part:
            part.write_text(json.dumps(described))
        self.blobs.upload(path)

    def open(self, computation: str) -> OpenedComputation:
        """Open what was written. Raises Damaged, ArtefactsUnavailable, and FileNotFoundError where it is gone."""
        described = json.loads(read_checked(self.blobs.shared_file(self._recipe(computation))))
        arrays = {name: self._array(file) for name, file in described["arrays"].items()}
        return OpenedComputation(OPENED_BY[described["name"]](arrays, described["numbers"]), described["threads"])

    def write_block(self, taken: HelpedBlock, arrays: Arrays) -> None:
        """Write what a helper computed of a block, as one file. Raises OSError, also where the computation has ended, and ArtefactsUnavailable."""
        self.blobs.write_shared(self._block(taken), save({name: one.contiguous() for name, one in arrays.items()}))

    def read_block(self, taken: HelpedBlock) -> Arrays:
        """Read it, and delete it here. Raises Damaged, ArtefactsUnavailable, and FileNotFoundError where it is gone."""
        path = self._block(taken)
        found: Arrays = load(self.blobs.read_shared(path))
        self.blobs.remove_here(path)  # in a store all are deleted at once, in the end
        return found

    def discard_block(self, taken: HelpedBlock) -> None:
        """Delete what a helper computed of a block, if it is there. Raises OSError and ArtefactsUnavailable."""
        self.blobs.discard_shared(self._block(taken))

    def discard(self) -> None:
        """Delete the files of this claim. Raises ArtefactsUnavailable."""
        self._written.clear()
        self.blobs.discard_shared_folder(self.folder)

    def discard_earlier(self, is_held: Callable[[], bool]) -> None:
        """Delete the files of earlier claims. Raises ArtefactsUnavailable."""
        earlier = self.blobs.other_shared(self.folder)
        # In this order: while the claim holds, no later one can have made what was found.
        if earlier and is_held():
            for one in earlier:
                self.blobs.discard_shared_folder(one)

    def _array(self, name: str) -> Tensor:
        path = self.blobs.shared_file(self.folder / name)
        # Nothing writes to it; torch has no tensors that cannot be written to.
        return torch.from_numpy(open_array(path, writable=True))

    def _recipe(self, computation: str) -> Path:
        return self.folder / f"{computation}.json"

    def _block(self, taken: HelpedBlock) -> Path:
        # A helper that was stopped, and goes on, must not touch what the next one writes.
        block = taken.block
        return self.folder / f"{block.computation}-{block.first}-{claim_folder(taken.helper)}.block"
