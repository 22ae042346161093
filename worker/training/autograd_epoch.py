"""Epochs of networks that are trained by autograd."""

from collections.abc import Callable, Sequence
from functools import cache

import structlog
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from service.domain.specs import Training
from worker.machine.cuda_graphs import Graphs
from worker.machine.devices import device_of
from worker.machine.pace import Pace
from worker.machine.placed_samples import PlacedSamples
from worker.training.augmentation import flip_crop
from worker.training.autograd_step import AutogradStep, CapturedStep

log = structlog.get_logger()


class AutogradEpochs:
    """Epochs of a network on its device; with `graphs` the steps of batches of full size are recorded once and replayed."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Sequence[Tensor],
        labels: Int[Tensor, " n"],
        weights: Float[Tensor, " c"] | None,
        optimizer: torch.optim.Optimizer,
        training: Training,
        graphs: Graphs | None,
    ) -> None:
        self._samples = PlacedSamples.on(device_of(model), (*inputs, labels))
        self._step = AutogradStep(model, optimizer, weights, half=training.precision == "bfloat16")
        self._augmented = training.augmentation == "flip_crop"
        self._size, self._graphs = training.batch_size, graphs
        self._captured: CapturedStep | None = None
        self._keep_pace = Pace(self._samples.device)

    def run(
        self, batches: Sequence[Int[Tensor, " _"]], rate: float, after_batch: Callable[[float], None]
    ) -> tuple[float, float]:
        """Train on the batches in turn; mean loss and share of right answers on the way."""
        self._step.begin()
        placed = self._samples.place(batches)
        self._capture([rows for rows in placed if len(rows) == self._size])
        if self._captured is not None:
            self._captured.begin(rate)
        for number, rows in enumerate(placed, 1):
            if self._captured is not None and len(rows) == self._size:
                self._fill(rows, self._captured.buffers)
                self._captured()
            else:
                self._step(self._batch(rows))
            self._keep_pace()
            after_batch(number / len(placed))
        count = sum(map(len, placed))
        return float(self._step.total) / count, float(self._step.right) / count

    def _capture(self, full: Sequence[Int[Tensor, " _"]]) -> None:
        """Record the step, if that was not tried before; the random state stays as it was."""
        if self._graphs is None or not full:
            return
        graphs, self._graphs = self._graphs, None
        device = self._samples.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            try:
                self._captured = CapturedStep(self._step, self._batch(full[0]), graphs)
            except RuntimeError as error:
                _tell_of_failure(str(error))

    def _batch(self, rows: Int[Tensor, " b"]) -> tuple[Tensor, ...]:
        *seen, target = self._samples.take(rows)
        return (*map(flip_crop, seen), target) if self._augmented else (*seen, target)

    def _fill(self, rows: Int[Tensor, " b"], buffers: tuple[Tensor, ...]) -> None:
        if not self._augmented:
            self._samples.fill(rows, buffers)
            return
        for buffer, part in zip(buffers, self._batch(rows), strict=True):
            buffer.copy_(part)


@cache
def _tell_of_failure(reason: str) -> None:
    # Once for each reason: a job trains several times.
    log.warning("the steps of this training are launched one by one, they cannot be recorded", error=reason)
