"""Callback for the Trainer of Lightning: `Trainer(…, callbacks=[TraceCallback("run.safetensors", train_set)])`."""

from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback
except ImportError:  # the older name of the same
    from pytorch_lightning import Callback

from usual_suspects.recorder.ranks import in_group
from usual_suspects.recorder.recorder import TraceRecorder


# The base class is Any where its package is not installed.
class TraceCallback(Callback):  # type: ignore[misc, unused-ignore]  # not installed
    """Records at each epoch's end, with the mean learning rate of its steps; writes the file when training ends.

    Of several processes each records its part. The module's `forward` must give the logits for the inputs of a batch. `train` and options are TraceRecorder's.
    """

    def __init__(self, path: str | Path, train: Any, **options: Any) -> None:
        self.path, self._train, self._options = path, train, options
        self._recorder: TraceRecorder | None = None
        self._rates: list[float] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Create the recorder."""
        if trainer.is_global_zero or in_group():
            model = trainer.model or pl_module  # the module, or what FSDP makes of it
            self._recorder = TraceRecorder(model, self._train, self.path, **self._options)

    def on_before_optimizer_step(self, _trainer: Any, _module: Any, optimizer: Any) -> None:
        """Store the learning rate of a step."""
        self._rates.append(float(optimizer.param_groups[0]["lr"]))

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        """Record the epoch."""
        rates, self._rates = self._rates, []
        if self._recorder is not None and sum(rates) > 0:
            self._recorder.record(sum(rates) / len(rates), trainer.current_epoch + 1)

    def on_train_end(self, _trainer: Any, _module: Any) -> None:
        """Write the file."""
        if self._recorder is not None:
            self._recorder.close()
