"""What is recorded so far: arrays of each epoch in a folder of this rank, which become the file, and those of an earlier run."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from usual_suspects.recorder.array_files import ArrayFile, GrowingArray, JoinedArray, whole, write_safetensors
from usual_suspects.recorder.earlier import (
    check_same,
    epoch_of,
    find_earlier,
    mark_of,
    save_progress,
    without,
)
from usual_suspects.recorder.early_checks import are_numbers, metadata_of
from usual_suspects.recorder.ranks import Ranks
from usual_suspects.recorder.samples import Samples
from usual_suspects.recorder.shards import joined_columns, make_folder


class RecordedEpochs:
    """Rates and arrays of the epochs recorded at a path, by this run and by one that it continues. All ranks make one alike.

    Raises ValueError for what is at the path and must not be replaced, see `find_earlier`.
    """

    def __init__(self, path: Path, existing: str | None, samples: Samples, head: nn.Linear, ranks: Ranks) -> None:
        self._path, self._samples, self._head, self._ranks = path, samples, head, ranks
        self._mark = mark_of(samples, head, ranks)
        self._earlier = find_earlier(path, existing, self._mark, ranks)
        self._file_rates, self._rates = dict(self._earlier.file_rates), dict(self._earlier.rates)
        self._file, self._columns = dict(self._earlier.file), dict(self._earlier.columns)
        self.folder = make_folder(path, ranks, keep=bool(self._rates))

    @property
    def rates(self) -> dict[int, float]:
        """Learning rates of the epochs, in their order."""
        return self._file_rates | self._rates

    def begin(self, epoch: int) -> None:
        """Forget this epoch and later ones of an earlier run: this one began at a checkpoint before them and trains them anew."""
        if epoch > max(self.rates, default=0):
            return
        self._file_rates, self._rates = (
            {one: rate for one, rate in rates.items() if one < epoch} for rates in (self._file_rates, self._rates)
        )
        self._file, self._columns = without(self._file, epoch), without(self._columns, epoch)
        self._save()  # before arrays of the same names are written

    def add(self, epoch: int, rate: float, columns: Mapping[str, ArrayFile], labels: Mapping[str, Tensor]) -> None:
        """Add an epoch after all others. Raises ValueError for samples in another order than before, or of another recording."""
        self._samples.check_order(labels)
        if any(self._mark[f"{prefix}labels"] is None for prefix in labels):  # which a `run` of the caller's gives
            self._mark = mark_of(self._samples, self._head, self._ranks)
            if self._earlier.mark:
                check_same(self._path, self._earlier.mark, self._mark)
        self._drop_last_inner()
        self._columns |= {name: self._same_or_new(name, column) for name, column in columns.items() if column.shape[0]}
        self._rates[epoch] = rate
        self._save()

    def complete(self) -> dict[str, ArrayFile]:
        """All arrays of this rank."""
        labels = {f"{prefix}labels": values.numpy() for prefix, values in self._samples.labels.items()}
        return self._columns | {name: self._store(name, values) for name, values in labels.items()}

    def write(self, shards: Sequence[Mapping[str, ArrayFile]], tick: Callable[[], None]) -> None:
        """Write the file from the arrays of all ranks, on rank 0, and remove these."""
        epochs = list(self.rates)
        columns = {name: whole(column) for name, column in self._file.items()}
        columns |= joined_columns(self.folder.parent, shards, self._samples.kept)
        columns = {name: one for name, one in columns.items() if not _is_inner(name) or epoch_of(name) in _ends(epochs)}
        columns["learning_rates"] = whole(
            self._store("learning_rates", np.array(list(self.rates.values()), np.float64))
        )
        names = self._samples.names
        for name, values in names.items():
            if values is not None and are_numbers(name, values):
                columns[name] = whole(self._store(name, np.array(list(values), np.int64)))
        bias = "true" if self._head.bias is not None else "false"
        # Labels are columns of the logits, even where classes are called 1 to 5.
        metadata = metadata_of(names) | {"bias": bias, "labels": "columns"}
        write_safetensors(self._path, _shared_activations_once(columns, epochs), metadata, tick)
        shutil.rmtree(self.folder.parent)

    def _same_or_new(self, name: str, column: ArrayFile) -> ArrayFile:
        """The same array of an earlier epoch where there is one, so that frozen layers are stored once."""
        kind = name.rpartition("_")[0]
        for other, known in self._columns.items():
            if other.rpartition("_")[0] == kind and known.digest == column.digest:
                column.path.unlink()
                return known
        return column

    def _drop_last_inner(self) -> None:
        """Delete inputs of the layer before the last of the last epoch, unless it is the first: of others they are not used."""
        if len(self.rates) < 2:
            return
        last = max(self.rates)
        for prefix in self._samples.shares:
            column = self._columns.pop(f"{prefix}inner_{last}", None)
            if column is not None and all(column.path != other.path for other in self._columns.values()):
                column.path.unlink()

    def _save(self) -> None:
        """Let another run continue from here, should this process end before the file is written."""
        follows = bool(self._file_rates)
        save_progress(self.folder, self._ranks.count, self._mark, self._rates, self._columns, follows=follows)

    def _store(self, name: str, values: Any) -> ArrayFile:
        growing = GrowingArray(self.folder / name)
        growing.add(values)
        return growing.done()


def _is_inner(name: str) -> bool:
    return name.removeprefix("reference_").startswith("inner_")


def _ends(epochs: Sequence[int]) -> tuple[int, int]:
    return epochs[0], epochs[-1]


def _shared_activations_once(columns: dict[str, JoinedArray], epochs: list[int]) -> dict[str, JoinedArray]:
    """The arrays with one name for activations that are the same at every epoch, for training and reference alike."""
    prefixes = [name.removesuffix("labels") for name in columns if name.endswith("labels")]
    first = {prefix: columns[f"{prefix}activations_{epochs[0]}"] for prefix in prefixes}
    each = {f"{prefix}activations_{epoch}": prefix for prefix in prefixes for epoch in epochs}
    if len(epochs) < 2 or any(columns[name] != first[prefix] for name, prefix in each.items()):
        return columns
    rest = {name: column for name, column in columns.items() if name not in each}
    return rest | {f"{prefix}activations": column for prefix, column in first.items()}
