"""Trees beside a network: what boosted trees and a forest say of each sample of a table without having learnt from it."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.models import MODELS
from service.domain.specs import Training
from worker.data.encoding import Inputs
from worker.job.tree_scoring import left_out
from worker.machine.threads import one_thread
from worker.models.boosted_trees import BoostedTrees, logits_of
from worker.training.boosting import SMALL_TABLE, grow
from worker.training.forest import out_of_bag


def trees_beside(
    model: BoostedTrees, inputs: Inputs, labels: Int[Tensor, " n"], seed: int, on_progress: Callable[[float], None]
) -> Float[Tensor, "n c"]:
    """Probabilities of the classes by trees that have not learnt from the sample: the mean of boosted trees and a forest.

    The trees are grown here. `on_progress` gets the share done, from 0 to 1. Raises Invalid without OpenMP.
    """
    defaults = MODELS["boosted_trees"].training
    if defaults is None:
        raise ValueError("boosted trees without defaults")
    training = Training.model_validate({**defaults.model_dump(), "checkpoints": "all", "seed": seed})
    grow(
        model,
        inputs,
        labels,
        training,
        resume=None,
        after_epoch=lambda _state, _metrics: None,
        after_batch=lambda blocks: on_progress(0.7 * blocks / training.epochs),
    )
    without, values = torch.from_numpy(model.first_raw(len(labels))), model.matrix(*inputs)
    with one_thread(wanted=values.size < SMALL_TABLE):
        for _block, _table, after in left_out(model, values, labels, training.learning_rate):
            without = after
        on_progress(0.9)
        forest = out_of_bag(model.features(*inputs), labels, model.classes, seed)
    return (torch.softmax(logits_of(without), 1).float() + forest) / 2
