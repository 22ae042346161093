"""What entered a model's last Linear layer and what came out, for every sample, at the end of every epoch."""

import shutil
import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from usual_suspects.recorder.array_files import ArrayFile, GrowingArray, write_safetensors
from usual_suspects.recorder.early_checks import (
    FASTEST_RATE,
    LARGEST_NUMBER,
    MOST_EPOCHS,
    SLOWEST_RATE,
    are_numbers,
    check_classes,
    check_header,
    check_ids,
    class_numbers,
    metadata_of,
    warn_of_shared_weights,
)
from usual_suspects.recorder.forward_pass import (
    LastLayerHooks,
    RunBatch,
    batches_of,
    labels_of,
    last_linear,
    preserved_state,
    run_batch,
)

_FEWEST_CLASSES = 2


class TraceRecorder:
    """Records a training, in any loop, into a safetensors file that the service ranks without training again.

    `train` are the samples to be ranked, in the order of the dataset: a Dataset, a DataLoader that neither shuffles nor
    loses samples, a tuple `(inputs…, labels)` of whole tensors or a list of batches. `reference` the same of samples on
    which influence is to be measured. `head` is the Linear layer that gives the logits, found when left out; a single
    output z is recorded as the logits 0 and z of the classes 0 and 1. `run` runs the model on a batch where that takes
    more than `model(*inputs)` or `model(**inputs)`. `classes` are the class names, in the order of the logits; `ids` and
    `reference_ids` name the samples. Only one process of a distributed training should record.

    The constructor runs the first batch and reads all labels, and raises ValueError for what the service would refuse
    after the training: samples that are shuffled or dropped, labels that are no class numbers, names that are not one for
    each sample or too long for the file, a model whose last Linear layer does not give its output. With `run`, labels after the
    first batch are read by the first `record`.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Any,
        path: str | Path,
        *,
        reference: Any = None,
        classes: Sequence[str] | None = None,
        ids: Sequence[str] | Sequence[int] | None = None,
        reference_ids: Sequence[str] | Sequence[int] | None = None,
        head: nn.Linear | None = None,
        run: RunBatch = run_batch,
    ) -> None:
        self.path = Path(path)
        self._model, self._run = _plain(model), run
        given = {"": train} | ({} if reference is None else {"reference_": reference})
        with preserved_state(self._model, given.values()):
            self._data = {prefix: batches_of(data, _part(prefix)) for prefix, data in given.items()}
        linear = head is None or isinstance(head, nn.Linear)
        if not linear:
            raise ValueError(f"head= is a {type(head).__name__}; the Linear layer that gives the logits is expected")
        self.head = head or self._find_head()
        self._hooks = LastLayerHooks(self._model, self.head)
        self._names: dict[str, Sequence[Any] | None] = {
            name: _list_of(given)
            for name, given in (("classes", classes), ("ids", ids), ("reference_ids", reference_ids))
        }
        self._labels: dict[str, Tensor] = {}
        self._check_samples()
        check_classes(self._names["classes"], self._hooks.classes)
        self._check_ids()
        check_header(self._names)
        warn_of_shared_weights(self._model, self.head)
        self._folder = self.path.with_name(self.path.name + ".arrays")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._rates: dict[int, float] = {}
        self._columns: dict[str, ArrayFile] = {}

    def record(self, learning_rate: float | torch.optim.Optimizer, epoch: int | None = None) -> None:
        """Record the model as it is now, at the end of an epoch: the next one after the last recorded if left out.

        `learning_rate` is that of the epoch, or an optimizer that still has it (before a scheduler's step). The model's
        modes and gradients and all random states stay as they are. A model whose outputs are not finite is not recorded, nor
        are more epochs than the service reads; a warning says so. Raises ValueError for an epoch that does not rise, a rate
        that is not above 0, and samples in another order than before.
        """
        rate = self._rate(learning_rate) if isinstance(learning_rate, torch.optim.Optimizer) else float(learning_rate)
        epoch = max(self._rates, default=0) + 1 if epoch is None else epoch
        if epoch <= max(self._rates, default=0):
            raise ValueError(f"epoch {epoch} after epoch {max(self._rates)}: epochs must rise")
        if not SLOWEST_RATE <= rate <= FASTEST_RATE:
            raise ValueError(
                f"the learning rate of epoch {epoch} is {rate:g}; it must be above 0, from {SLOWEST_RATE:g} to {FASTEST_RATE:g}"
            )
        if len(self._rates) >= MOST_EPOCHS:
            message = f"epoch {epoch} is not recorded: the service reads {MOST_EPOCHS:,} at most; record every tenth epoch, say"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return
        found: dict[str, ArrayFile] = {}
        for prefix, batches in self._data.items():
            passed = self._run_epoch(prefix, batches, epoch)
            if passed is None:
                message = (
                    f"epoch {epoch} is not recorded: the model's outputs are not finite, or beyond {LARGEST_NUMBER:g}"
                )
                warnings.warn(message, RuntimeWarning, stacklevel=2)
                return
            found |= passed
        self._drop_middle_inner()
        self._columns |= found
        self._rates[epoch] = rate

    def close(self) -> Path:
        """Write the file and return its path. Raises ValueError where no epoch was recorded."""
        if not self._rates:
            raise ValueError("nothing was recorded: call record at the end of each epoch")
        columns = self._columns | {
            f"{prefix}labels": self._store(f"{prefix}labels", labels.numpy()) for prefix, labels in self._labels.items()
        }
        columns["learning_rates"] = self._store("learning_rates", np.array(list(self._rates.values()), np.float64))
        for name, values in self._names.items():
            if values is not None and are_numbers(name, values):
                columns[name] = self._store(name, np.array(list(values), np.int64))
        bias = "true" if self.head.bias is not None else "false"
        # Labels are columns of the logits, even where classes are called 1 to 5.
        metadata = metadata_of(self._names) | {"bias": bias, "labels": "columns"}
        write_safetensors(self.path, _shared_activations_once(columns, list(self._rates)), metadata)
        shutil.rmtree(self._folder)
        return self.path

    def __enter__(self) -> "TraceRecorder":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_more: object) -> None:
        # The epochs recorded before a training failed are complete.
        if self._rates:
            self.close()
        elif failure is None:
            raise ValueError("nothing was recorded: call record at the end of each epoch")

    def _find_head(self) -> nn.Linear:
        with preserved_state(self._model, self._data.values()):
            first = next(iter(self._data[""]), None)
        if first is None:
            raise ValueError("train has no samples")
        return last_linear(self._model, first, self._run)

    def _check_samples(self) -> None:
        """Run the first batch of each part and read all its labels, where no `run` of the caller's gives them."""
        for prefix, batches in self._data.items():
            with preserved_state(self._model, [batches]):
                for _ in self._hooks(islice(batches, 1), self._run, inner=False):
                    pass
            if self._run is run_batch:
                with preserved_state(self._model, [batches]):
                    self._labels[prefix] = self._read_labels(prefix, batches)
        found = {int(one) for labels in self._labels.values() for one in labels.bincount().nonzero()}
        if len(self._labels) == len(self._data) and len(found) < _FEWEST_CLASSES:
            raise ValueError("all labels are of one class; the service needs samples of at least 2 classes")

    def _read_labels(self, prefix: str, batches: Iterable[Any]) -> Tensor:
        found: list[Tensor] = []
        start = 0
        for batch in batches:
            found.append(class_numbers(labels_of(batch), self._hooks.classes, f"{prefix}labels", start=start))
            start += len(found[-1])
        if not start:
            raise ValueError(f"{_part(prefix)} has no samples")
        return torch.cat(found)

    def _check_ids(self) -> None:
        counts = {prefix: len(self._labels[prefix]) if prefix in self._labels else None for prefix in self._data}
        check_ids({"": self._names["ids"], "reference_": self._names["reference_ids"]}, counts)

    def _run_epoch(self, prefix: str, batches: Iterable[Any], epoch: int) -> dict[str, ArrayFile] | None:
        names = [f"{prefix}{kind}_{epoch}" for kind in ("logits", "activations", "inner")]
        growing = [GrowingArray(self._folder / name) for name in names]
        labels: list[Tensor] = []
        complete = False
        try:
            with preserved_state(self._model, [batches]):
                for seen in self._hooks(batches, self._run, inner=True):
                    if not _usable(seen.logits, seen.entered):
                        return None
                    labels.append(seen.labels)
                    for column, rows in zip(growing, (seen.logits, seen.entered, seen.inner), strict=True):
                        if rows is not None:
                            column.add(rows.numpy())
            self._check_order(prefix, torch.cat(labels))
            complete = True
        finally:
            if not complete:
                for column in growing:
                    column.drop()
        done = dict(zip(names, (column.done() for column in growing), strict=True))
        return {name: self._same_or_new(name, column) for name, column in done.items() if column.shape[0]}

    def _same_or_new(self, name: str, column: ArrayFile) -> ArrayFile:
        """The same array of an earlier epoch where there is one, so that frozen layers are stored once."""
        kind = name.rpartition("_")[0]
        for other, known in self._columns.items():
            if other.rpartition("_")[0] == kind and known.digest == column.digest:
                column.path.unlink()
                return known
        return column

    def _check_order(self, prefix: str, labels: Tensor) -> None:
        if prefix not in self._labels:
            self._labels[prefix] = labels
            self._check_ids()
        elif not torch.equal(self._labels[prefix], labels):
            raise ValueError("the labels are in another order than before; the samples must not be shuffled")

    def _drop_middle_inner(self) -> None:
        """Delete inputs of the layer before the last of the epochs between the first and the last, which are not used."""
        if len(self._rates) < 2:
            return
        last = max(self._rates)
        for prefix in self._data:
            column = self._columns.pop(f"{prefix}inner_{last}", None)
            if column is not None and all(column.path != other.path for other in self._columns.values()):
                column.path.unlink()

    def _rate(self, optimizer: torch.optim.Optimizer) -> float:
        groups = optimizer.param_groups
        own = [group for group in groups if any(one is self.head.weight for one in group["params"])]
        return float((own or groups)[0]["lr"])

    def _store(self, name: str, values: Any) -> ArrayFile:
        growing = GrowingArray(self._folder / name)
        growing.add(values)
        return growing.done()


def _list_of(values: Any) -> Sequence[Any] | None:
    """Names as a list; those of NumPy and torch come as arrays."""
    made = getattr(values, "tolist", None)
    return made() if made is not None else values  # type: ignore[no-any-return]  # both give lists


def _part(prefix: str) -> str:
    return prefix.rstrip("_") or "train"


def _usable(*arrays: Tensor) -> bool:
    """Whether all numbers are finite and as large as the service reads them at most."""
    return all(bool((array.abs() <= LARGEST_NUMBER).all()) for array in arrays)


def _plain(model: nn.Module) -> nn.Module:
    """The model inside wrappers that compile or distribute it."""
    inside = getattr(model, "_orig_mod", None)
    if inside is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inside = model.module
    return _plain(inside) if isinstance(inside, nn.Module) else model


def _shared_activations_once(columns: dict[str, ArrayFile], epochs: list[int]) -> dict[str, ArrayFile]:
    """The arrays with one name for activations that are the same at every epoch, for training and reference alike."""
    prefixes = [name.removesuffix("labels") for name in columns if name.endswith("labels")]
    first = {prefix: columns[f"{prefix}activations_{epochs[0]}"] for prefix in prefixes}
    each = {f"{prefix}activations_{epoch}": prefix for prefix in prefixes for epoch in epochs}
    if len(epochs) < 2 or any(columns[name].path != first[prefix].path for name, prefix in each.items()):
        return columns
    rest = {name: column for name, column in columns.items() if name not in each}
    return rest | {f"{prefix}activations": column for prefix, column in first.items()}
