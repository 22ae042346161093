"""What entered a model's last Linear layer and what came out, for every sample, at the end of every epoch."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from usual_suspects.recorder.array_files import ArrayFile, GrowingArray
from usual_suspects.recorder.earlier import EXISTING
from usual_suspects.recorder.early_checks import (
    FASTEST_RATE,
    LARGEST_NUMBER,
    MOST_EPOCHS,
    SLOWEST_RATE,
    check_classes,
    first_unusable,
    warn_of_frozen_head,
    warn_of_shared_weights,
)
from usual_suspects.recorder.forward_pass import (
    LastLayerHooks,
    RecordedBatch,
    RunBatch,
    check_arguments,
    last_linear,
    preserved_state,
    run_batch,
)
from usual_suspects.recorder.ranks import InStep, Ranks, buffers_of_first, is_sharded
from usual_suspects.recorder.recorded_epochs import RecordedEpochs
from usual_suspects.recorder.samples import Samples, part
from usual_suspects.recorder.step_rates import StepRates

_PATIENCE_AFTER_FAILURE = timedelta(minutes=1)
_OTHER_OUTPUT = (
    "the output of the model is no longer that of its last Linear layer, as it was before the training: a later step, such as a "
    "learned scale or an adapter, has been trained, and influence of the layer is not that of the model. Fold that step into the "
    "layer, or pass the layer as head= to record it as it is"
)
_ROUNDING = 1e-3  # by which sums of equal weights may differ on unlike devices


class TraceRecorder:
    """Records a training, in any loop, into a safetensors file that the service ranks without training again.

    `train` are the samples to be ranked, in the order of the dataset: a Dataset, a DataLoader that neither shuffles nor
    loses samples, a tuple `(inputs…, labels)` of whole tensors or a list of batches. `reference` the same of samples on
    which influence is to be measured. `head` is the Linear layer that gives the logits, found when left out; a single
    output z is recorded as the logits 0 and z of the classes 0 and 1. `run` runs the model on a batch where that takes
    more than `model(*inputs)` or `model(**inputs)`. `classes` are the class names, in the order of the logits; `ids` and
    `reference_ids` name the samples.

    `existing` says what becomes of a recording that is at `path` already, as a file or as the arrays of a run that was not closed:
    "refuse" raises ValueError, "continue" goes on with it if it is of the same samples and last layer, "replace" begins anew. Epochs of it
    from the first that this run records on are replaced. Left out, a finished recording is replaced when this one is closed; arrays of a run
    that was not closed, and files of another kind, raise ValueError.

    The file has, for n samples, c classes and d inputs of the last layer: `labels` (n), `logits_E` (n x c) and `activations_E`
    (n x d) of each epoch E, or `activations` where they never change, `inner_E` (what enters the Linear layer before) of the first
    and the last, `learning_rates`, and `reference_…` alike.

    In a process group of torch.distributed every rank makes the recorder and calls `record` and `close`, on one file system that
    they share. Where `train` is the same on all ranks, or a DataLoader with a DistributedSampler, each rank runs a part of it. Where
    `ids` differ, each rank gives its own samples; of a sample that several give, that of the first rank counts. What a rank
    cannot do is its own error, and a RuntimeError on all others that names it. Models wrapped by DistributedDataParallel,
    FullyShardedDataParallel or fully_shard are recorded; wrap them first.

    The constructor runs the first batch and reads all labels, and raises ValueError for what the service would refuse
    after the training: samples that are shuffled or dropped, labels that are no class numbers, names that are not one for
    each sample or too long for the file, outputs that are not finite, a model whose last Linear layer does not give its output
    (unless `head` names it). With `run`, labels after the
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
        existing: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._model, self._run, self._ranks = _plain(model), run, Ranks()
        given = {"": train} | ({} if reference is None else {"reference_": reference})
        names = {"classes": _list_of(classes), "ids": _list_of(ids), "reference_ids": _list_of(reference_ids)}
        self._ranks.agree({"path=": self.path.name, "classes=": names["classes"], "head=": type(head).__name__})
        self._ranks.agree({"existing=": existing})
        if existing is not None and existing not in EXISTING:
            raise ValueError(f"existing={existing!r} is none of {', '.join(EXISTING)}")
        self._samples = Samples(given, names, self._model, run, self._ranks)
        linear = head is None or isinstance(head, nn.Linear)
        if not linear:
            raise ValueError(f"head= is a {type(head).__name__}; the Linear layer that gives the logits is expected")
        first = dict(self._samples.first)
        self._ranks.together("running the first samples", lambda: self._check_arguments(first))
        self.head = self._ranks.together(
            "running the first samples", lambda: head or last_linear(self._model, first[""], run)
        )
        self._hooks = LastLayerHooks(self._model, self.head, named=head is not None)
        self._ranks.together("running the first samples", lambda: self._run_first(first))
        self._samples.split(self._hooks.classes)
        check_classes(names["classes"], self._hooks.classes)
        self._samples.join_ids()
        warn_of_shared_weights(self._model, self.head)
        warn_of_frozen_head(self.head)
        self._epochs = RecordedEpochs(self.path, existing, self._samples, self.head, self._ranks)
        self.steps = StepRates(self._model, self.head)
        self._last, self._closed = 0, False  # the last epoch of this run
        self._fault = "call record at the end of each epoch"  # why nothing is recorded

    def record(self, learning_rate: float | torch.optim.Optimizer | None = None, epoch: int | None = None) -> None:
        """Record the model as it is now, at the end of an epoch: the next one after the last recorded if left out.

        The learning rate of an epoch is the mean of those that its steps had for the last layer, whatever a scheduler did after each.
        Steps of all optimizers of torch in this process are seen. Where none was, the rate is what the given optimizer has now.
        A number is taken as it is. At a rate of 0 TracIn counts an epoch for nothing, so it is not recorded; a warning says so. The
        model's modes and gradients and all random states stay as they are. A model whose outputs are not finite, or no longer those of its
        last layer, is not recorded, nor are more epochs than the service reads; a warning says so. Raises ValueError for an epoch
        that does not rise, a rate below 0, an optimizer that does not hold the last layer, samples in another order than before, and
        where the first epoch to be recorded has other outputs than those of the last layer.
        """
        if self._closed:
            raise ValueError(
                f'{self.path} is closed; to add epochs make another TraceRecorder with existing="continue"'
            )
        rate, epoch = self._ranks.together("record", partial(self._next_epoch, learning_rate, epoch))
        weight = 0.0 if is_sharded(self._model) else float(self.head.weight.detach().double().abs().sum())
        self._ranks.agree({"epoch=": epoch})
        rate = self._ranks.gather(rate, "record")[0]
        if not rate:
            no_step = "no step of an optimizer was seen"
            self._skip(
                epoch, no_step if rate is None else "its learning rate is 0, at which it adds nothing to influence"
            )
            return
        if learning_rate == 0:
            message = f"a rate of 0 was given for epoch {epoch}; its steps had {rate:g} on average, which is recorded"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._check_same_model(weight)
        self._epochs.begin(epoch)
        if len(self._epochs.rates) >= MOST_EPOCHS:
            message = f"epoch {epoch} is not recorded: the service reads {MOST_EPOCHS:,} at most; record every tenth epoch, say"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return
        found: dict[str, ArrayFile] = {}
        labels: dict[str, Tensor] = {}
        with buffers_of_first(self._model, self._ranks):
            for prefix in self._samples.shares:
                passed = self._ranks.together(f"epoch {epoch}", partial(self._run_epoch, prefix, epoch))
                faults = self._ranks.gather(passed if isinstance(passed, str) else None, f"epoch {epoch}")
                fault = next((one for one in faults if one is not None), None)
                if fault is not None or isinstance(passed, str):
                    if fault == _OTHER_OUTPUT and not self._epochs.rates:
                        raise ValueError(f"epoch {epoch}: {fault}")
                    self._skip(epoch, fault or "")
                    return
                columns, labels[prefix] = passed
                found |= columns
        self._epochs.add(epoch, rate, found, labels)
        self._last = epoch

    def close(self) -> Path:
        """Write the file and return its path, again and again. Raises ValueError where no epoch was recorded.

        In a process group rank 0 writes the file of all ranks, and all ranks return once it is there. Raises RuntimeError, on all
        ranks, for a rank that ended or does not come within the timeout of the group, and OSError for a file of a rank that rank 0
        cannot see; each names the rank.
        """
        return self._close(None)

    def _close(self, patience: timedelta | None) -> Path:
        if self._closed:
            return self.path
        if not self._epochs.rates:
            raise ValueError(f"nothing was recorded: {self._fault}")
        shards = self._ranks.each("close", self._epochs.complete, patience)
        self._ranks.first_alone("close", lambda tick: self._epochs.write(shards, tick))
        self._ranks.close()
        self.steps.close()
        self._closed = True
        return self.path

    def __enter__(self) -> "TraceRecorder":
        return self

    def __exit__(self, _kind: type[BaseException] | None, failure: BaseException | None, *_more: object) -> None:
        # The epochs recorded before a training failed are complete.
        if failure is None or (self._epochs.rates and self._ranks.count == 1):
            self.close()
        elif self._epochs.rates:
            try:
                self._close(_PATIENCE_AFTER_FAILURE)
            except (RuntimeError, OSError) as error:
                failure.add_note(f"{self.path} was not written: {error}")

    def _check_arguments(self, first: Mapping[str, Any]) -> None:
        for prefix, batch in first.items():
            if self._run is run_batch:
                check_arguments(self._model, batch, part(prefix))

    def _run_first(self, first: Mapping[str, Any]) -> None:
        """Run the first batch of each part, to see that the last layer gives usable outputs."""
        for prefix, batch in first.items():
            with preserved_state(self._model, []):
                for seen in self._hooks([batch], self._run, inner=False):
                    row = first_unusable(seen.logits, seen.entered)
                    if row is not None:
                        raise ValueError(
                            f"{part(prefix)}, sample {row}: what enters or leaves the last Linear layer is not finite, or beyond "
                            f"{LARGEST_NUMBER:g}, before any training; examine the sample for NaN and infinity, and the weights"
                        )

    def _next_epoch(self, given: float | torch.optim.Optimizer | None, epoch: int | None) -> tuple[float | None, int]:
        """Rate and number of an epoch; no rate where none was given and no step was seen."""
        epoch = max(self._epochs.rates, default=0) + 1 if epoch is None else epoch
        if epoch <= self._last:
            raise ValueError(f"epoch {epoch} after epoch {self._last}: epochs must rise")
        now = self.steps.current(given) if isinstance(given, torch.optim.Optimizer) else given
        mean = self.steps.take(needed=given is None)
        # A number other than 0 is taken as it is; 0 is what a schedule may leave behind.
        seen = isinstance(given, torch.optim.Optimizer) or not given
        rate = mean if seen and mean is not None else now
        if rate and not SLOWEST_RATE <= rate <= FASTEST_RATE:
            raise ValueError(
                f"the learning rate of epoch {epoch} is {rate:g}; it must be above 0, from {SLOWEST_RATE:g} to {FASTEST_RATE:g}"
            )
        return None if rate is None else float(rate), epoch

    def _check_same_model(self, weight: float) -> None:
        """Refuse a rank that trains another model; `weight` is the sum of the last layer's weights without their signs."""
        weights = self._ranks.gather(weight, "comparing the models")
        for rank, other in enumerate(weights):
            if isfinite(other) and isfinite(weights[0]) and not isclose(other, weights[0], rel_tol=_ROUNDING):
                raise ValueError(
                    f"the last layer of rank {rank} has other weights than that of rank 0 (sums {other:g} and {weights[0]:g}); the "
                    "ranks of a process group record one model, so keep its weights equal, as DistributedDataParallel does"
                )

    def _skip(self, epoch: int, fault: str) -> None:
        """Warn of an epoch that is not recorded, so that the training goes on."""
        self._fault = f"epoch {epoch} is not recorded: {fault}"
        warnings.warn(self._fault, RuntimeWarning, stacklevel=3)

    def _run_epoch(self, prefix: str, epoch: int) -> tuple[dict[str, ArrayFile], Tensor] | str:
        """Arrays and labels of this rank's samples, or why they are not to be recorded."""
        names = [f"{prefix}{kind}_{epoch}" for kind in ("logits", "activations", "inner")]
        growing = [GrowingArray(self._epochs.folder / name) for name in names]
        labels = [torch.zeros(0, dtype=torch.int64)]
        fault: str | None = None
        complete, start = False, self._samples.shares[prefix].start
        try:
            with preserved_state(self._model, [self._samples.shares[prefix].batches]):
                batches = self._samples.batches(prefix, sharded=is_sharded(self._model))
                for number, seen in enumerate(self._hooks(batches, self._run, inner=True)):
                    fault = fault or _fault_of(seen, start + sum(map(len, labels)), prefix)
                    if not isinstance(batches, InStep):
                        if fault is not None:
                            return fault
                    elif fault is not None or number >= batches.own:
                        continue
                    labels.append(seen.labels)
                    for column, rows in zip(growing, (seen.logits, seen.entered, seen.inner), strict=True):
                        if rows is not None:
                            column.add(rows.numpy())
            complete = fault is None
        finally:
            if not complete:
                for column in growing:
                    column.drop()
        if fault is not None:
            return fault
        done = dict(zip(names, (column.done() for column in growing), strict=True))
        return done, torch.cat(labels)


def _list_of(values: Any) -> Sequence[Any] | None:
    """Names as a list; those of NumPy and torch come as arrays."""
    made = getattr(values, "tolist", None)
    return made() if made is not None else values  # type: ignore[no-any-return]  # both give lists


def _fault_of(seen: RecordedBatch, start: int, prefix: str) -> str | None:
    """Why what a batch gave is not to be recorded; `start` is the number of its first sample on this rank."""
    row = first_unusable(seen.logits, seen.entered)
    if row is not None:
        return f"the model's outputs are not finite, or beyond {LARGEST_NUMBER:g}, first at {part(prefix)} sample {start + row}"
    if not seen.answers:
        return _OTHER_OUTPUT
    return None


def _plain(model: nn.Module) -> nn.Module:
    """The model inside wrappers that compile or distribute it."""
    inside = getattr(model, "_orig_mod", None)
    if inside is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inside = model.module
    return _plain(inside) if isinstance(inside, nn.Module) else model
