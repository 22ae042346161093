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
    """Records at each epoch's end, with the mean learning rate that its steps had for the last layer; writes the file when training ends.

    A training that is resumed from a checkpoint goes on with the recording that is there. Of several processes each records its part.
    The module's `forward` must give the logits for the inputs of a batch. `train` and options are TraceRecorder's.
    """

    def __init__(self, path: str | Path, train: Any, **options: Any) -> None:
        self.path, self._train, self._options = path, train, options
        self._recorder: TraceRecorder | None = None
        self._stepped = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Create the recorder."""
        if trainer.is_global_zero or in_group():
            model = trainer.model or pl_module  # the module, or what FSDP makes of it
            resumed = {"existing": "continue"} if trainer.global_step else {}
            self._recorder = TraceRecorder(model, self._train, self.path, **(resumed | self._options))

    def on_before_optimizer_step(self, _trainer: Any, _module: Any, optimizer: Any) -> None:
        """Note a step of an optimizer that holds copies of the parameters; the recorder sees all others."""
        self._stepped = True
        if self._recorder is not None:
            self._recorder.steps.note_copies(optimizer)

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        """Record the epoch."""
        if self._recorder is not None and self._stepped:
            self._recorder.record(epoch=trainer.current_epoch + 1)
        self._stepped = False

    def on_train_end(self, _trainer: Any, _module: Any) -> None:
        """Write the file."""
        if self._recorder is not None:
            self._recorder.close()
