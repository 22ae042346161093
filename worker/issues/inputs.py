"""What is compared: inputs of the samples of a job, as fingerprints, and the samples that it holds out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from service.store import fingerprints
from service.store.fingerprints import Hashes
from worker.data.canonical import Canonical, align_reference
from worker.data.glitches import PlantedData
from worker.data.mislabels import MISLABELS
from worker.issues.data_issue import IssueSample

_PLANTED = np.uint64(0xD1B54A32D192ED03)  # keeps planted inputs apart from those of files
_BLOCK = 4_096
REFERENCE = "reference"
Rows = npt.NDArray[np.int64]


def input_hashes(dataset: Canonical, columns: Sequence[str]) -> Hashes:
    """A fingerprint of the inputs of each of the r rows of a file, in these columns. Equal inputs have equal ones."""
    found = [fingerprints.of_rows(batch.columns) for batch in dataset.batches(columns)]
    return np.concatenate([np.zeros(0, np.uint64), *found])


def planted_hashes(hashes: Hashes, planted: PlantedData) -> Hashes:
    """Fingerprints of the n training samples with the inputs that were planted, which are in no file.

    A planted copy of another sample has that sample's fingerprint; `hashes` are those of the file.
    """
    changed = inputs_are_planted(planted)
    if not changed.any():
        return hashes
    encoded = np.concatenate([_encoded_hashes(planted.inputs, rows) for rows in np.split(*_blocks(len(hashes)))])
    order = np.argsort(encoded, kind="stable")
    originals = order[~changed[order]]
    of_original = encoded[originals]
    found = hashes.copy()
    wanted = encoded[changed]
    found[changed] = fingerprints.mixed(wanted ^ _PLANTED)
    if len(originals):
        place = np.searchsorted(of_original, wanted).clip(max=len(originals) - 1)
        is_copy = of_original[place] == wanted
        found[np.flatnonzero(changed)[is_copy]] = hashes[originals[place[is_copy]]]
    return found


def inputs_are_planted(planted: PlantedData) -> npt.NDArray[np.bool_]:
    """Of each of the n training samples, whether its inputs are others than those of the file."""
    return np.array([kind is not None and kind not in MISLABELS for kind in planted.kinds], bool)


def _blocks(count: int) -> tuple[Rows, Rows]:
    return np.arange(count), np.arange(_BLOCK, count, _BLOCK)


def _encoded_hashes(inputs: Sequence[Tensor], rows: Rows) -> Hashes:
    parts = [part[torch.from_numpy(rows)].flatten(1).numpy() for part in inputs if part.shape[1:].numel()]
    return fingerprints.of_contents([b"".join(part[row].tobytes() for part in parts) for row in range(len(rows))])


@dataclass(frozen=True)
class HeldOut:
    """Samples of one file that are not trained on. `parts`: "reference", or the split that each one is in."""

    source: Canonical
    rows: Int[Tensor, " h"]
    parts: Sequence[str]

    def sample(self, place: int, group: int | None = None, detail: str | None = None) -> IssueSample:
        """The sample at a place of `rows`."""
        return _sample(self.source, int(self.rows[place]), self.parts[place], group, detail)


def held_out(
    dataset: Canonical, train: Int[Tensor, " n"], reference_rows: Int[Tensor, " m"], reference: Canonical | None
) -> list[HeldOut]:
    """What a job does not train on: its reference, and the other splits of its dataset.

    Raises Invalid for a reference dataset that does not fit.
    """
    free = torch.ones(len(dataset.ids), dtype=torch.bool)
    free[train] = False
    rows = free.nonzero().squeeze(1)
    parts = [dataset.splits[row] for row in rows.tolist()]
    if reference is None and len(reference_rows):
        known = set(reference_rows.tolist())
        parts = [REFERENCE if row in known else part for row, part in zip(rows.tolist(), parts, strict=True)]
    found = [HeldOut(dataset, rows, parts)]
    if reference is not None:
        every = torch.arange(len(reference.ids))
        found.append(HeldOut(align_reference(reference, dataset), every, [REFERENCE] * len(every)))
    return [one for one in found if len(one.rows)]


@dataclass(frozen=True)
class TrainingSamples:
    """The n training samples of a job as they were ranked: rows of the file, labels, and fingerprints of the inputs."""

    dataset: Canonical
    rows: Int[Tensor, " n"]
    labels: npt.NDArray[np.int64]
    hashes: Hashes

    def sample(self, place: int, group: int | None = None, detail: str | None = None) -> IssueSample:
        """The sample at a place of `rows`, with the label that it was ranked with."""
        found = _sample(self.dataset, int(self.rows[place]), "training", group, detail)
        return replace(found, label=self.dataset.header.classes[self.labels[place]])


def _sample(source: Canonical, row: int, part: str, group: int | None, detail: str | None) -> IssueSample:
    label = source.header.classes[int(source.labels[row])]
    return IssueSample(source.ids[row], int(source.index[row]), label, part, group, detail)
