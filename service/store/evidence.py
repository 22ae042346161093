"""Evidence for each ranked sample of a job, beside its signals: immutable column files, read one row at a time.

One `.npy` file an array, n ranked samples, T checkpoints, K classes kept a sample, s neighbours kept a sample:

==================== ========= ===========================================================================
`positions`          int64 n   rows of the training dataset's canonical file, ascending
`loss`, `margin`     f4 nxT    -log p_y and z_y - max z_c at each checkpoint
`self_influence`     f4 nxT    eta_t |g_i|^2
`classes`            i4 nxK    the given class first, then those whose loss the sample raises most
`class_influence`    f4 nxTxK  influence on the reference samples of each of those classes
`supporting`         i8 nxs    rows of the reference's canonical file, strongest first; -1 = none
`supporting_values`  f4 nxs    their influence, positive
`opposing`, `opposing_values`  the same for the most negative influence
==================== ========= ===========================================================================

Out-of-sample predictions have one checkpoint, of epoch 0; without features they have positions, loss and margin alone.

For the w strongest suspects, these arrays replace the above; jobs of earlier versions lack them:

============================ ========= ===================================================================
`suspect_positions`          int64 w   their rows of the training dataset's canonical file, ascending
`suspect_class`              i4 w      the suggested class, whose reference samples are compared
`suspect_looked_at`          i4 w      number of compared samples: those most similar to the suspect
`suspect_against`            i4 wxT    number of them whose loss the suspect raises, at each checkpoint
`suspect_supporting`         i8 wxs    as `supporting`
`suspect_supporting_values`  f4 wxsxT  their influence at each checkpoint; the sum is positive
`suspect_opposing`, `suspect_opposing_values`  the same for the most negative influence
============================ ========= ===================================================================
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.store.seal import open_array, put_in_place, read_checked, row_of, seal_folder, unfinished

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Influential:
    """A reference sample and the influence of a ranked sample on it.

    `position` is its row in the reference's canonical file. `influence` is in units of loss, positive where the ranked sample
    lowers its loss; it is the sum of `by_checkpoint`, which is None for samples that are not among the strongest suspects.
    """

    position: int
    influence: float
    by_checkpoint: list[float] | None = None


@dataclass(frozen=True)
class SuspectWitnesses:
    """Number of the `looked_at` most similar samples of class `place` whose loss a suspect raises, at each checkpoint."""

    place: int
    looked_at: int
    against: list[int]


@dataclass(frozen=True)
class Evidence:
    """Evidence for one sample; lists are over the T checkpoints, whose epochs are `epochs`.

    `margin` is the logit of the given class minus the largest other one. `class_influence` maps class numbers to the influence
    on the reference samples of that class. `reference_dataset` is the id of the dataset of the influential samples. Influence
    is empty for predictions without features.
    """

    epochs: list[int]
    loss: list[float]
    margin: list[float]
    reference_dataset: str
    self_influence: list[float] = field(default_factory=list)
    class_influence: dict[int, list[float]] = field(default_factory=dict)
    supporting: list[Influential] = field(default_factory=list)
    opposing: list[Influential] = field(default_factory=list)
    witnesses: SuspectWitnesses | None = None


def save(folder: Path, arrays: Mapping[str, Array], epochs: list[int], reference_dataset: str) -> None:
    """Write every array (n rows each) in place of those of an earlier attempt; a reader sees all or none of them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    with unfinished(part):
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array, allow_pickle=False)
        (part / "header.json").write_text(json.dumps({"epochs": epochs, "reference_dataset": reference_dataset}))
        seal_folder(part)
    put_in_place(part, folder)


def scored_epochs(folder: Path) -> list[int]:
    """The epochs whose checkpoints were scored. Raises Damaged and FileNotFoundError."""
    epochs: list[int] = json.loads(read_checked(folder / "header.json"))["epochs"]
    return epochs


def load(folder: Path, position: int) -> Evidence | None:
    """The evidence for the sample at row `position` of the canonical file, or None where it was not ranked. Raises Damaged."""
    if not (folder / "header.json").exists():
        return None
    row = _row(folder, "positions", position)
    if row is None:
        return None
    suspect = _row(folder, "suspect_positions", position) if (folder / "suspect_positions.npy").exists() else None
    header = json.loads(read_checked(folder / "header.json"))
    answers = Evidence(
        epochs=header["epochs"],
        loss=_at(folder, "loss", row).tolist(),
        margin=_at(folder, "margin", row).tolist(),
        reference_dataset=header["reference_dataset"],
    )
    if not (folder / "classes.npy").exists():
        return answers
    classes = _at(folder, "classes", row).tolist()
    by_class = _at(folder, "class_influence", row).T.tolist()
    return replace(
        answers,
        self_influence=_at(folder, "self_influence", row).tolist(),
        class_influence=dict(zip(classes, by_class, strict=True)),
        supporting=_influential(folder, "supporting", row, suspect),
        opposing=_influential(folder, "opposing", row, suspect),
        witnesses=None if suspect is None else _witnesses(folder, suspect),
    )


def _row(folder: Path, name: str, position: int) -> int | None:
    positions = open_array(folder / f"{name}.npy")
    row = int(np.searchsorted(positions, position))
    return None if row == len(positions) or positions[row] != position else row


def _at(folder: Path, name: str, row: int) -> Array:
    return row_of(folder / f"{name}.npy", row)


def _influential(folder: Path, name: str, row: int, suspect: int | None) -> list[Influential]:
    if suspect is None:
        positions, values = _at(folder, name, row), _at(folder, f"{name}_values", row)
        return [Influential(int(p), float(v)) for p, v in zip(positions, values, strict=True) if p >= 0]
    positions, courses = _at(folder, f"suspect_{name}", suspect), _at(folder, f"suspect_{name}_values", suspect)
    return [
        Influential(int(p), sum(course), course)
        for p, course in zip(positions, courses.tolist(), strict=True)
        if p >= 0
    ]


def _witnesses(folder: Path, suspect: int) -> SuspectWitnesses:
    return SuspectWitnesses(
        place=int(_at(folder, "suspect_class", suspect)),
        looked_at=int(_at(folder, "suspect_looked_at", suspect)),
        against=_at(folder, "suspect_against", suspect).tolist(),
    )
