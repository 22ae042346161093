"""One forward pass of a model over samples in a fixed order; leaves the model and all random states as they were."""

import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from usual_suspects.recorder.early_checks import check_source, class_numbers
from usual_suspects.recorder.shares import in_order, is_of_rank

RunBatch = Callable[[nn.Module, Any], tuple[Any, Tensor]]  # from model and batch to the model's output and the labels

_ROWS = 256  # samples in a batch of data that comes unbatched


@dataclass(frozen=True)
class RecordedBatch:
    """What one batch gave: labels, outputs and inputs of the last Linear layer, inputs of the layer before it.

    `answers`: whether the output of the model is that of the layer, as far as it can be told.
    """

    labels: Tensor
    logits: Tensor
    entered: Tensor
    inner: Tensor | None
    answers: bool


def batches_of(data: Any, name: str, *, grouped: bool = False) -> Iterable[Any]:
    """Batches in a fixed order: of a DataLoader, a Dataset, a tuple of whole tensors or arrays, or any list of batches.

    Arrays become tensors, those of floats of torch's default type, since NumPy's own default is float64. In a process group (`grouped`) a DataLoader with a DistributedSampler stands for its whole dataset. Raises ValueError for
    data that is in no fixed order, see `check_source`; `name` is the argument's.
    """
    if isinstance(data, DataLoader):
        batches: Iterable[Any] = in_order(data) if grouped and is_of_rank(data) else data
    elif isinstance(data, tuple) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
        tensors = [_as_tensor(part, name) for part in data]
        counts = {len(part) for part in tensors}
        if len(counts) != 1:
            raise ValueError(
                f"{name}: the tensors have {' and '.join(map(str, sorted(counts)))} rows; one a sample is expected"
            )
        batches = list(zip(*(torch.split(part, _ROWS) for part in tensors), strict=True))
    elif isinstance(data, IterableDataset) or (
        not isinstance(data, list) and hasattr(data, "__getitem__") and hasattr(data, "__len__")
    ):
        batches = DataLoader(data, batch_size=_ROWS)
    else:
        batches = data
    check_source(batches, name)
    return batches


def labels_of(batch: Any) -> Any:
    """The labels of a batch: `(inputs…, labels)`, or a mapping with `labels` or `label`."""
    return _parted(batch)[1]


def run_batch(model: nn.Module, batch: Any) -> tuple[Any, Tensor]:
    """Output of the model for a batch, `(inputs…, labels)` or a mapping with `labels` or `label`, and the labels."""
    inputs, labels = _parted(batch)
    return model(**inputs) if isinstance(inputs, Mapping) else model(*inputs), labels


def check_arguments(model: nn.Module, batch: Any, name: str) -> None:
    """Refuse a batch whose inputs are not what `forward` takes. Raises ValueError, which shows `run=`."""
    inputs, _ = _parted(batch)
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # of a forward that is not written in Python
        return
    try:
        signature.bind(**inputs) if isinstance(inputs, Mapping) else signature.bind(*inputs)
    except TypeError as error:
        given = ", ".join(map(str, inputs)) if isinstance(inputs, Mapping) else f"{len(inputs)} inputs"
        raise ValueError(
            f"{name}: {type(model).__name__}.forward does not take the inputs of a batch ({given}): {error}. A batch is (inputs…, "
            "labels), or a mapping with labels; where it has more, as weights or indices, say how to run the model, as "
            "run=lambda model, batch: (model(batch[0]), batch[1])"
        ) from error


def _as_tensor(part: Any, name: str) -> Tensor:
    try:
        tensor = torch.as_tensor(part)
    except TypeError as error:
        raise ValueError(f"{name}: an array of {part.dtype} cannot be a tensor; give numbers") from error
    if isinstance(part, np.ndarray) and tensor.is_floating_point():
        return tensor.to(torch.get_default_dtype())
    return tensor


def _parted(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a batch."""
    if isinstance(batch, Mapping):
        named = dict(batch)
        labels = [named.pop(name) for name in ("labels", "label") if name in named]
        if len(labels) != 1:
            raise ValueError(f"a batch must have labels or label; this one has {', '.join(map(str, batch))}")
        return named, labels[0]
    if not isinstance(batch, list | tuple) or len(batch) < 2:
        raise ValueError(
            f"a batch must be (inputs…, labels) or a mapping with labels; this one is a {type(batch).__name__}"
        )
    *inputs, last = batch
    return inputs, last


def last_linear(model: nn.Module, batch: Any, run_: RunBatch) -> nn.Linear:
    """The Linear layer that runs last in a forward pass. Raises ValueError unless its output is the model's.

    Outputs that are not finite cannot be compared.
    """
    called: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda module, _arguments, given: called.append((module, given)))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with preserved_state(model, []):
            answer = _logits_of(run_(model, batch_to_device(batch, _device_of(model)))[0])
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise ValueError("the model has no Linear layer that its forward pass runs through")
    head, given = called[-1]
    if answer is not None and bool(given.isfinite().all()) and not _same(answer, given):
        raise ValueError(
            f"the output of the model, {tuple(answer.shape)}, is not that of its last Linear layer, {tuple(given.shape)}, so "
            "their gradients differ. Pass the layer that gives the logits as head="
        )
    return head


def _logits_of(answer: Any) -> Tensor | None:
    for found in (
        answer,
        getattr(answer, "logits", None),
        answer.get("logits") if isinstance(answer, Mapping) else None,
        answer[0] if isinstance(answer, tuple) else None,
    ):
        if isinstance(found, Tensor):
            return found
    return None


def _same(answer: Tensor, given: Tensor) -> bool:
    """Whether the answer of a model is the output of a layer, as far as the coarser type of both tells.

    Probabilities are as good as logits for one logit, and their logarithms for any number.
    """
    if answer.numel() != given.numel() or not answer.is_floating_point():
        return False
    coarse = max(torch.finfo(one.dtype).eps for one in (answer, given))
    found, expected = (one.detach().float() for one in (answer, given))
    if torch.allclose(found.reshape(expected.shape), expected, rtol=2 * coarse, atol=2 * coarse):
        return True
    if given.shape[-1] == 1:
        # One logit for two classes, whose losses take it as it is, as a probability, or as the logarithm of one.
        forms = (expected, expected.sigmoid(), nn.functional.logsigmoid(expected))
        same = found.reshape(expected.shape)
        return any(torch.allclose(same, one, rtol=8 * coarse, atol=max(1e-4, 2 * coarse)) for one in forms)
    # The same probabilities, of which those of many classes are small.
    rtol, atol = max(1e-3, 8 * coarse), min(1e-4, 1e-2 / given.shape[-1])
    return answer.shape == given.shape and torch.allclose(found.softmax(-1), expected.softmax(-1), rtol=rtol, atol=atol)


class LastLayerHooks:
    """Hooks that record inputs and outputs of a model's last Linear layer, `head`, and inputs of the one before it.

    A single output z is recorded as two logits, 0 and z: their softmax is the sigmoid of z, so that labels are 0 and 1.
    `named`: the caller says that the layer gives the logits, whatever the model makes of them.
    """

    def __init__(self, model: nn.Module, head: nn.Linear, *, named: bool) -> None:
        self._model, self._head, self._named = model, head, named
        self.classes = max(2, head.out_features)
        self._entered: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._inner: Tensor | None = None

    def __call__(self, batches: Iterable[Any], run_: RunBatch, *, inner: bool) -> Iterator[RecordedBatch]:
        """Run batches; yields each in float32 on the CPU, with `inner` also the inputs of the layer before the head.

        Raises ValueError for labels that are no class numbers, and for a head that gives no row of logits per sample.
        """
        hooks = [self._head.register_forward_hook(self._at_head)]
        if inner:
            hooks += [
                module.register_forward_pre_hook(self._before)
                for module in self._model.modules()
                if isinstance(module, nn.Linear) and module is not self._head
            ]
        device, start = _device_of(self._model), 0
        self._entered, self._logits = [], []
        try:
            for batch in batches:
                self._inner = None
                answer, labels = run_(self._model, batch_to_device(batch, device))
                numbers = class_numbers(labels, self.classes, start=start)
                start += len(numbers)
                yield self._take(numbers, None if self._named else _logits_of(answer))
        finally:
            for hook in hooks:
                hook.remove()

    def _at_head(self, _module: nn.Module, arguments: tuple[Tensor, ...], answer: Tensor) -> None:
        self._entered.append(arguments[0])
        self._logits.append(answer)

    def _before(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        # The same choice as the service's: the last Linear layer on flat rows that runs before the head.
        if arguments[0].dim() == 2 and not self._logits:
            self._inner = arguments[0]

    def _take(self, labels: Tensor, answer: Tensor | None) -> RecordedBatch:
        if len(self._logits) != 1 or self._logits[0].dim() != 2 or len(self._logits[0]) != len(labels):
            shapes = [tuple(one.shape) for one in self._logits]
            raise ValueError(
                f"the last Linear layer must give one row of logits per sample, once; for {len(labels)} labels it gave {shapes}. "
                "Pass the layer that does as head="
            )
        inner = None if self._inner is None else _plain(self._inner)
        given = self._logits.pop()
        answers, logits = answer is None or _same(answer, given), _plain(given)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return RecordedBatch(labels, logits, _plain(self._entered.pop()), inner, answers)


@contextmanager
def preserved_state(model: nn.Module, sources: Iterable[Any]) -> Iterator[None]:
    """Evaluation mode without gradients, in float32; on exit, modes and all random states are as before.

    `sources`: data that is read meanwhile; a DataLoader and its sampler may have generators of their own, which are
    restored, too.
    """
    modes = {module: module.training for module in model.modules()}
    owners = [owner for source in sources for owner in (source, getattr(source, "sampler", None))]
    generators = [one for owner in owners if isinstance(one := getattr(owner, "generator", None), torch.Generator)]
    own = [generator.get_state() for generator in generators]
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - users' own draws
    cuda = torch.cuda.get_rng_state_all() if _device_of(model).type == "cuda" else []
    model.eval()
    try:
        # Not inference mode: a module may store tensors of this pass and use them in a training step.
        with torch.no_grad(), torch.autocast(_device_of(model).type, enabled=False):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
            reshard: Any = getattr(module, "reshard", None)
            if reshard is not None:  # FSDP2 leaves the outermost layers whole after a pass without a backward one
                reshard()
        for generator, state in zip(generators, own, strict=True):
            generator.set_state(state)
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as above
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def batch_to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: batch_to_device(part, device) for name, part in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(batch_to_device(part, device) for part in batch)
    return batch


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
