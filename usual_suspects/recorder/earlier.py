"""What an earlier run recorded at the same path: a finished file, arrays that a process left when it ended, or both."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from usual_suspects.files import atomic_write
from usual_suspects.recorder.array_files import ArrayFile, read_array, read_safetensors
from usual_suspects.recorder.ranks import Ranks
from usual_suspects.recorder.samples import Samples
from usual_suspects.recorder.shards import folder_of, is_foreign

EXISTING = ("refuse", "continue", "replace")
_HEAD_BYTES, _LARGEST_HEAD = 8, 100_000_000  # of a safetensors file
_PROGRESS = "recorded.json"
_KINDS = ("logits", "activations")  # without which an epoch is of no use
_CHOICE = 'existing="replace" to begin anew (it is then lost), or another path='

Mark = dict[str, Any]  # what tells one recording from another: labels, ids, classes, widths


@dataclass(frozen=True)
class Earlier:
    """What an earlier run recorded: rates of the epochs in the finished file and, on rank 0, its arrays; those in this rank's folder."""

    mark: Mark
    file_rates: dict[int, float]
    file: dict[str, ArrayFile]
    rates: dict[int, float]
    columns: dict[str, ArrayFile]


@dataclass(frozen=True)
class _Progress:
    """What one rank had recorded beyond the finished file that it follows, if it does."""

    ranks: int
    mark: Mark
    rates: dict[int, float]
    columns: dict[str, ArrayFile]
    follows: bool


def mark_of(samples: Samples, head: nn.Linear, ranks: Ranks) -> Mark:
    """The mark of a recording, the same on all ranks, which call this alike. Labels are None where they are not known yet."""
    every = ranks.gather({prefix: one.numpy() for prefix, one in samples.labels.items()}, "comparing recordings")
    names = {name: None if held is None else [str(one) for one in held] for name, held in samples.names.items()}
    mark: Mark = {"outputs": max(2, head.out_features), "width": head.in_features, "bias": head.bias is not None}
    mark |= {"classes": names["classes"]} | {name: _digest(names[name]) for name in ("ids", "reference_ids")}
    for prefix, kept in samples.kept.items():
        mark[f"{prefix}labels"] = None
        if all(prefix in one for one in every):
            parts = [
                one[prefix] if which is None else one[prefix][which] for one, which in zip(every, kept, strict=True)
            ]
            labels = np.ascontiguousarray(np.concatenate(parts), np.int64)
            mark[f"{prefix}labels"] = [len(labels), hashlib.sha256(labels.data).hexdigest()]
    return ranks.gather(mark, "comparing recordings")[0]


def check_same(path: Path, earlier: Mark, mark: Mark) -> None:
    """Raise ValueError where an earlier recording is of other samples or another last layer; labels that are not known pass."""
    names = dict.fromkeys((*earlier, *mark))
    unknown = {name for name in names if name.endswith("labels") and name in mark and mark[name] is None}
    other = [name for name in names if name not in unknown and earlier.get(name) != mark.get(name)]
    if other:
        raise ValueError(
            f"{path} has a recording of other samples or of another last layer, which cannot be continued: {', '.join(other)} "
            f"differ; give {_CHOICE}"
        )


def find_earlier(path: Path, existing: str | None, mark: Mark, ranks: Ranks) -> Earlier:
    """What is to be continued at a path. Raises ValueError, on all ranks, for what is there and must not be replaced."""
    own = ranks.together("looking for an earlier recording", lambda: _look(path, ranks.rank))
    left = ranks.gather(None if own is None else (own.ranks, own.mark, own.rates, own.follows), "comparing recordings")
    there, is_recording = ranks.gather((_has_content(path), _is_recording(path)), "looking for an earlier recording")[0]
    epochs = sorted({epoch for one in left if one is not None for epoch in one[2]})
    # Who saves a result again means to replace it; what no run has finished, or another program wrote, is not ours to drop.
    refused = there and (existing == "refuse" or not is_recording)
    if existing in (None, "refuse") and (refused or epochs):
        what = (
            f"{path} is there"
            if refused
            else f"{path}.arrays has epochs {_listed(epochs)} of a run that was not closed"
        )
        raise ValueError(
            f'{what}; give existing="continue" to go on with that recording, say from a checkpoint of the model, {_CHOICE}'
        )
    if existing != "continue" or not (there or epochs):
        return Earlier({}, {}, {}, {}, {})
    for one in left:
        if one is not None:
            if one[0] != ranks.count:
                raise ValueError(
                    f"{path}.arrays was recorded by {one[0]} processes and not by {ranks.count}; continue with as many, or give "
                    f"{_CHOICE}"
                )
            check_same(path, one[1], mark)
    common = [epoch for epoch in epochs if all(one is not None and epoch in one[2] for one in left)]
    follows = there and (not common or all(one[3] for one in left if one is not None))
    found = next((one[1] for one in left if one is not None), {})
    file: dict[str, ArrayFile] = {}
    file_rates: dict[int, float] = {}
    if follows:
        found, file, file_rates = _of_file(path, mark, ranks)
    file_rates = {epoch: rate for epoch, rate in file_rates.items() if not common or epoch < common[0]}
    if own is None or not common:
        return Earlier(found, file_rates, file, {}, {})
    columns = {name: held for name, held in own.columns.items() if epoch_of(name) in common}
    file = without(file, common[0])
    return Earlier(found, file_rates, file, {epoch: own.rates[epoch] for epoch in common}, columns)


def save_progress(
    folder: Path, ranks: int, mark: Mark, rates: Mapping[int, float], columns: Mapping[str, ArrayFile], *, follows: bool
) -> None:
    """Store what a rank has recorded in its folder, for a run that continues it."""
    held = {name: [one.path.name, one.dtype, one.shape, one.digest] for name, one in columns.items()}
    stored = {"ranks": ranks, "mark": mark, "rates": dict(rates), "columns": held, "follows": follows}
    with atomic_write(folder / _PROGRESS) as part:
        part.write_text(json.dumps(stored))


def without(columns: Mapping[str, ArrayFile], epoch: int) -> dict[str, ArrayFile]:
    """The arrays of the epochs before this one."""
    return {name: column for name, column in columns.items() if epoch_of(name) < epoch}


def epoch_of(name: str) -> int:
    """The epoch of an array such as logits_3."""
    return int(name.rpartition("_")[2])


def _look(path: Path, rank: int) -> _Progress | None:
    """What this rank has left at the path, as far as its arrays are complete."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of a file as path=")
    if is_foreign(path):
        raise ValueError(
            f"{path}.arrays, where arrays are kept meanwhile, is there and has other files; give another path="
        )
    folder = folder_of(path, rank)
    try:
        stored = json.loads((folder / _PROGRESS).read_text())
    except (OSError, ValueError):  # there is none, or the disk lost it
        return None
    columns = {
        name: ArrayFile(folder / file, dtype, tuple(shape), digest)
        for name, (file, dtype, shape, digest) in stored["columns"].items()
    }
    whole = {name: column for name, column in columns.items() if column.is_complete()}
    lost = {epoch_of(name) for name in columns.keys() - whole.keys() if name.split("_")[-2] in _KINDS}
    epochs = {int(epoch): rate for epoch, rate in stored["rates"].items()}
    rates = {epoch: rate for epoch, rate in epochs.items() if epoch < min(lost, default=epoch + 1)}
    return _Progress(stored["ranks"], stored["mark"], rates, whole, stored["follows"]) if rates else None


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _is_recording(path: Path) -> bool:
    """Whether a file is a finished recording, by the head of its safetensors."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(_HEAD_BYTES), "little")
            head = json.loads(file.read(min(size, _LARGEST_HEAD)))
        return bool(head["__metadata__"]["labels"] == "columns")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _of_file(path: Path, mark: Mark, ranks: Ranks) -> tuple[Mark, dict[str, ArrayFile], dict[int, float]]:
    """Mark of the finished file, its arrays by epoch, on rank 0, and the rates of its epochs. Raises ValueError for another file."""
    found: Mark = {}
    file: dict[str, ArrayFile] = {}
    rates: dict[int, float] = {}

    def read(tick: Callable[[], None]) -> None:
        try:
            held, metadata = read_safetensors(path, tick)
            found.update(_mark_in(held, metadata))
            epochs = sorted(epoch_of(name) for name in held if name.startswith("logits_"))
            rates.update(zip(epochs, read_array(held["learning_rates"]).tolist(), strict=True))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no recording that can be continued ({error}); give {_CHOICE}") from error
        check_same(path, found, mark)
        file.update(_by_epoch(held, epochs))

    ranks.first_alone("reading the earlier recording", read)
    found, rates = ranks.gather((found, rates), "reading the earlier recording")[0]
    return found, file, rates


def _mark_in(held: Mapping[str, ArrayFile], metadata: Mapping[str, str]) -> Mark:
    """The mark of a finished file."""
    if metadata.get("labels") != "columns":
        raise ValueError("TraceRecorder did not write it")
    first = min((name for name in held if name.startswith("logits_")), key=epoch_of)
    entered = held.get("activations") or held[f"activations_{epoch_of(first)}"]
    found: Mark = {"outputs": held[first].shape[1], "width": entered.shape[1], "bias": metadata.get("bias") == "true"}
    found["classes"] = json.loads(metadata["classes"]) if "classes" in metadata else None
    for name in ("ids", "reference_ids"):
        numbers = [str(one) for one in read_array(held[name]).tolist()] if name in held else None
        found[name] = _digest(json.loads(metadata[name]) if name in metadata else numbers)
    for name in ("labels", "reference_labels"):
        if name in held:
            found[name] = [held[name].shape[0], held[name].digest]
    return found


def _by_epoch(held: Mapping[str, ArrayFile], epochs: Collection[int]) -> dict[str, ArrayFile]:
    """The arrays of each epoch, of which activations may be one for all."""
    found = {}
    for prefix in ("", "reference_"):
        for kind in ("logits", "activations", "inner"):
            for epoch in epochs:
                column = held.get(f"{prefix}{kind}_{epoch}") or (
                    held.get(f"{prefix}{kind}") if kind in _KINDS else None
                )
                if column is not None:
                    found[f"{prefix}{kind}_{epoch}"] = column
    return found


def _digest(names: list[str] | None) -> str | None:
    return None if names is None else hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _listed(epochs: Collection[int]) -> str:
    return f"{min(epochs)} to {max(epochs)}" if len(epochs) > 1 else str(min(epochs))
