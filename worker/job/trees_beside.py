"""Trees beside a network: what boosted trees and a forest say of each sample of a table without having learnt from it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog
import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.errors import Damaged
from service.domain.models import MODELS
from service.domain.specs import Training
from service.store.seal import open_array, sealed_write
from worker.data.encoding import Inputs
from worker.job.tree_scoring import left_out
from worker.machine.threads import one_thread
from worker.models.boosted_trees import ROUNDS, BoostedTrees, logits_of
from worker.training.boosting import SMALL_TABLE, grow
from worker.training.forest import out_of_bag
from worker.training.loop import TrainingState

# Samples times trees of the first answer: about a second of two cores. Most of what all trees find is found by then.
_FIRST = 3_000_000
# Shares of the work: boosted trees grown, then asked about each sample; the rest is the forest. Measured on adult.
_GROWING, _BOOSTED = 0.1, 0.14
_FILE = "trees.npy"  # in the folder of the checkpoints, with which it is collected
log = structlog.get_logger()


def first_trees(
    model: BoostedTrees, inputs: Inputs, labels: Int[Tensor, " n"], seed: int, on_progress: Callable[[float], None]
) -> Float[Tensor, "n c"]:
    """Probabilities of the classes by the first boosted trees alone, which `trees_beside` goes on from.

    `on_progress` gets the share done, from 0 to 1. Raises Invalid without OpenMP.
    """
    training = _training(seed)
    blocks = min(training.epochs, max(1, _FIRST // (len(labels) * model.width * ROUNDS)))
    _grow(model, inputs, labels, training.model_copy(update={"epochs": blocks}), on_progress)
    return _left_out(model, model.matrix(*inputs), labels, training, lambda _share: on_progress(1.0))


def trees_beside(
    model: BoostedTrees, inputs: Inputs, labels: Int[Tensor, " n"], seed: int, on_progress: Callable[[float], None]
) -> Float[Tensor, "n c"]:
    """Probabilities of the classes by trees that have not learnt from the sample: the mean of boosted trees and a forest.

    The trees are grown here, from those on that there are. `on_progress` gets the share done, from 0 to 1. Raises Invalid without OpenMP.
    """
    training = _training(seed)
    _grow(model, inputs, labels, training, lambda share: on_progress(_GROWING * share))
    values = model.matrix(*inputs)
    boosted = _left_out(
        model, values, labels, training, lambda share: on_progress(_GROWING + (_BOOSTED - _GROWING) * share)
    )
    with one_thread(wanted=values.size < SMALL_TABLE):
        forest = out_of_bag(
            model.features(*inputs),
            labels,
            model.classes,
            seed,
            lambda share: on_progress(_BOOSTED + (1 - _BOOSTED) * share),
        )
    return (boosted + forest) / 2


def save_answers(folder: Path, answers: Float[Tensor, "n c"]) -> Path:
    """Keep what `trees_beside` gave beside the checkpoints, so that nothing is grown when the job is scored again."""
    path = folder / _FILE
    with sealed_write(path) as part, part.open("wb") as file:
        np.save(file, answers.numpy())
    return path


def saved_answers(folder: Path, samples: int) -> Float[Tensor, "n c"] | None:
    """What was kept of so many samples; None where there is nothing or it is damaged, so that the trees are grown anew."""
    try:
        found = torch.from_numpy(open_array(folder / _FILE, writable=True))
    except FileNotFoundError:
        return None
    except Damaged as error:
        log.warning("answers of trees damaged, they are made again", error=str(error))
        return None
    return found if len(found) == samples else None


def _training(seed: int) -> Training:
    defaults = MODELS["boosted_trees"].training
    if defaults is None:
        raise ValueError("boosted trees without defaults")
    return Training.model_validate({**defaults.model_dump(), "checkpoints": "all", "seed": seed})


def _grow(
    model: BoostedTrees,
    inputs: Inputs,
    labels: Int[Tensor, " n"],
    training: Training,
    on_progress: Callable[[float], None],
) -> None:
    grown = len(model.ends)
    if grown >= training.epochs:
        return
    grow(
        model,
        inputs,
        labels,
        training,
        resume=TrainingState(grown, training.learning_rate, dict(model.state_dict()), {}) if grown else None,
        after_epoch=lambda _state, _metrics: None,
        after_batch=lambda blocks: on_progress(blocks / training.epochs),
    )


def _left_out(
    model: BoostedTrees,
    values: npt.NDArray[np.float32],
    labels: Int[Tensor, " n"],
    training: Training,
    on_progress: Callable[[float], None],
) -> Float[Tensor, "n c"]:
    without = torch.from_numpy(model.first_raw(len(labels)))
    with one_thread(wanted=values.size < SMALL_TABLE):
        for asked, (_block, _table, after) in enumerate(left_out(model, values, labels, training.learning_rate), 1):
            without = after
            on_progress(asked / len(model.ends))
    return torch.softmax(logits_of(without), 1).float()
