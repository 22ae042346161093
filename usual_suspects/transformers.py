"""Callback for the Trainer of Hugging Face: `Trainer(…, callbacks=[TraceCallback("run.safetensors")])`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from transformers import TrainerCallback

from usual_suspects.recorder.ranks import in_group
from usual_suspects.recorder.recorder import TraceRecorder

_ROUNDING = 1e-6  # of an epoch


# The base class is Any where its package is not installed, and where it has no types.
class TraceCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]  # untyped
    """Records at each epoch's end, with the mean learning rate that its steps had for the last layer; writes the file when training ends.

    `train` is what a TraceRecorder takes; left out, the Trainer's own training set, in its order. Class names are those
    of the model's config unless `classes` says others; further options are TraceRecorder's. A training that is
    resumed from a checkpoint goes on with the recording that is there. Of several processes each records
    its part. Raises ValueError, when the
    training begins, for what TraceRecorder refuses, and for a single output that is trained as a regression.
    """

    def __init__(
        self, path: str | Path, train: Any = None, *, classes: Sequence[str] | None = None, **options: Any
    ) -> None:
        self.path, self._train, self._classes, self._options = path, train, classes, options
        self._recorder: TraceRecorder | None = None
        self._stepped = False

    # The Trainer passes all of these by name to every one of its callbacks.

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002  the Trainer's names
        """Create the recorder."""
        if not (state.is_world_process_zero or in_group()):
            return
        model = kwargs["model"]
        if self._classes is None and _is_regression(model):
            raise ValueError(
                "num_labels=1 is trained by the squared error, of which no classes follow: use num_labels=2, or "
                'problem_type="multi_label_classification"; with a binary cross-entropy of your own give classes= of two names'
            )
        train = self._in_order(kwargs["train_dataloader"]) if self._train is None else self._train
        resumed = {"existing": "continue"} if state.global_step else {}
        options = {"classes": self._classes or _class_names(model)} | resumed | self._options
        self._recorder = TraceRecorder(model, train, self.path, **options)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002  the Trainer's names
        """Note a step of an optimizer that holds copies of the parameters; the recorder sees all others."""
        self._stepped = True
        if self._recorder is not None:
            self._recorder.steps.note_copies(kwargs["optimizer"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002  the Trainer's names
        """Record the epoch."""
        if self._recorder is not None and self._stepped:
            # Where training ends inside an epoch, its part counts as one more.
            self._recorder.record(epoch=math.ceil(state.epoch - _ROUNDING))
        self._stepped = False

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002  the Trainer's names
        """Write the file."""
        if self._recorder is not None:
            self._recorder.close()

    @staticmethod
    def _in_order(loader: Any) -> DataLoader[Any]:
        return DataLoader(loader.dataset, batch_size=64, collate_fn=loader.collate_fn)


def _is_regression(model: Any) -> bool:
    """Whether a model of Hugging Face computes the squared error: for one label it does so unless its config says other."""
    config = getattr(model, "config", None)
    one = getattr(config, "num_labels", None) == 1
    return one and getattr(config, "problem_type", None) in (None, "regression")


def _class_names(model: Any) -> list[str] | None:
    """Names of the classes in the order of the logits; None for a single logit, whose two classes have no names."""
    names = getattr(getattr(model, "config", None), "id2label", None)
    return [names[place] for place in sorted(names)] if names and len(names) > 1 else None
