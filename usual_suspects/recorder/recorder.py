"""What entered a model's last Linear layer and what came out, for every sample, at the end of every epoch."""

import json
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from usual_suspects.recorder.array_files import ArrayFile, GrowingArray, write_safetensors
from usual_suspects.recorder.forward_pass import (
    LastLayerHooks,
    RunBatch,
    batches_of,
    last_linear,
    preserved_state,
    run_batch,
)


class TraceRecorder:
    """Records a training, in any loop, into a safetensors file that the service ranks without training again.

    `train` are the samples to be ranked, in a fixed order: a Dataset, a DataLoader that does not shuffle, a tuple
    `(inputs…, labels)` of whole tensors or a list of batches. `reference` the same of samples on which influence is to be
    measured. `head` is the layer that gives the logits, found when left out; `run` runs the model on a batch where that
    takes more than `model(*inputs)` or `model(**inputs)`. `classes` are the class names, in the order of the logits; `ids`
    and `reference_ids` name the samples. Only one process of a distributed training should record. Raises ValueError for
    samples that are shuffled and for a model whose last Linear layer does not give its output.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Any,
        path: str | Path,
        *,
        reference: Any = None,
        classes: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        reference_ids: Sequence[str] | None = None,
        head: nn.Linear | None = None,
        run: RunBatch = run_batch,
    ) -> None:
        self.path = Path(path)
        self._model, self._run = _plain(model), run
        self._data = {"": batches_of(train)} | ({} if reference is None else {"reference_": batches_of(reference)})
        self.head = head or self._find_head()
        if getattr(self.head, "bias", None) is None:
            message = "the last layer has no bias, but influence is computed as if it had one: the file format has no field for it"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._names = {"classes": classes, "ids": ids, "reference_ids": reference_ids}
        self._folder = self.path.with_name(self.path.name + ".arrays")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._labels: dict[str, Tensor] = {}
        self._rates: dict[int, float] = {}
        self._columns: dict[str, ArrayFile] = {}

    def record(self, learning_rate: float | torch.optim.Optimizer, epoch: int | None = None) -> None:
        """Record the model as it is now, at the end of an epoch: the next one after the last recorded if left out.

        `learning_rate` is that of the epoch, or an optimizer that still has it (before a scheduler's step). The model's
        modes and gradients and all random states stay as they are. A model whose outputs are not finite is not recorded. Raises
        ValueError for an epoch that does not rise, a rate that is not above 0, and samples in another order than before.
        """
        rate = self._rate(learning_rate) if isinstance(learning_rate, torch.optim.Optimizer) else float(learning_rate)
        epoch = max(self._rates, default=0) + 1 if epoch is None else epoch
        if epoch <= max(self._rates, default=0):
            raise ValueError(f"epoch {epoch} after epoch {max(self._rates)}: epochs must rise")
        if rate <= 0:
            raise ValueError(f"the learning rate of epoch {epoch} is {rate:g}; it must be above 0")
        found: dict[str, ArrayFile] = {}
        for prefix, batches in self._data.items():
            passed = self._run_epoch(prefix, batches, epoch)
            if passed is None:
                message = f"epoch {epoch} is not recorded: the model's outputs are not finite"
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
        metadata = {
            name: json.dumps([str(one) for one in values]) for name, values in self._names.items() if values is not None
        }
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
            first = next(iter(self._data[""]))
        return last_linear(self._model, first, self._run)

    def _run_epoch(self, prefix: str, batches: Iterable[Any], epoch: int) -> dict[str, ArrayFile] | None:
        names = [f"{prefix}{kind}_{epoch}" for kind in ("logits", "activations", "inner")]
        growing = [GrowingArray(self._folder / name) for name in names]
        labels: list[Tensor] = []
        complete = False
        try:
            with preserved_state(self._model, [batches]):
                for seen in LastLayerHooks(self._model, self.head)(batches, self._run, inner=True):
                    if not bool(torch.isfinite(seen.logits).all() and torch.isfinite(seen.entered).all()):
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
        if not torch.equal(self._labels.setdefault(prefix, labels), labels):
            raise ValueError(
                "the labels are in another order than in the epoch before; the samples must not be shuffled"
            )

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
