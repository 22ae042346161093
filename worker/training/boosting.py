"""Growing boosted trees, ten rounds at a time: equal seeds give equal bits, interrupted or not, whatever the number of threads."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from service.domain.specs import Training
from worker.machine.threads import one_thread
from worker.models.boosted_trees import ROUNDS, BoostedTrees, block_scores, lightgbm, logits_of
from worker.training.loop import EpochMetrics, TrainingState
from worker.training.stopping import has_stopped_improving

# Values of a table below which trees grow on one thread: threads of many short steps wait for each other, the more so on busy cores.
SMALL_TABLE = 300_000
# Randomised trees: each split draws one threshold a column, each tree half of the columns, and trees without a sample then say
# more of its label. `cat_l2` is 0, so that every leaf has the same penalty, as the formulas of influence say.
_FIXED = {
    "extra_trees": True,
    "feature_fraction": 0.5,
    "cat_l2": 0.0,
    "boost_from_average": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def grow(
    model: BoostedTrees,
    inputs: Sequence[Tensor],
    labels: Int[Tensor, " n"],
    training: Training,
    *,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
    after_batch: Callable[[float], None] = lambda _epochs: None,
) -> int:
    """Grow the trees in place, handing out the state after each block, which is called an epoch, and give the number of blocks.

    `after_batch` is told how many blocks are done, such as 2.3. Raises whatever the callbacks raise, Invalid without OpenMP.
    """
    values = model.matrix(inputs[0], inputs[1])
    with one_thread(wanted=values.size < SMALL_TABLE):
        return _grow(model, values, labels, training, resume, after_epoch, after_batch)


def _grow(
    model: BoostedTrees,
    values: npt.NDArray[np.float32],
    labels: Int[Tensor, " n"],
    training: Training,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
    after_batch: Callable[[float], None],
) -> int:
    package = lightgbm()
    options = _options(model, training)
    losses: tuple[float, ...] = ()
    if resume is None:
        model.begin(labels)
    else:
        model.load_state_dict(resume.model)
        losses = resume.losses
    scores = model.raw(values)
    data = package.Dataset(
        values, labels.numpy(), categorical_feature=model.categorical, params=options, free_raw_data=False
    )
    done = 0 if resume is None else resume.epoch
    while done < training.epochs and not has_stopped_improving(losses, training.early_stopping):
        epoch = done + 1
        data.set_init_score(scores.flatten(order="F"))
        block = package.train(
            {**options, "seed": (training.seed * 1_000_003 + epoch) % 2**31},
            data,
            num_boost_round=ROUNDS,
            callbacks=[partial(_tell, after_batch, done)],
        )
        model.add(block)
        scores += block_scores(block, values, model.width)
        logits = logits_of(torch.from_numpy(scores))
        loss, accuracy = float(cross_entropy(logits, labels)), float((logits.argmax(1) == labels).double().mean())
        losses = (*losses, loss)
        state = TrainingState(epoch, training.learning_rate, dict(model.state_dict()), {}, losses)
        after_epoch(state, EpochMetrics(epoch, loss, accuracy, training.learning_rate))
        done = epoch
    return done


def _tell(after_batch: Callable[[float], None], done: int, round_: Any) -> None:
    after_batch(done + (round_.iteration + 1) / ROUNDS)


def _options(model: BoostedTrees, training: Training) -> dict[str, Any]:
    objective = {"objective": "binary"} if model.width == 1 else {"objective": "multiclass", "num_class": model.width}
    return {
        **_FIXED,
        **objective,
        "num_leaves": model.params.leaves,
        "min_data_in_leaf": model.params.smallest_leaf,
        "lambda_l2": model.params.penalty,
        "learning_rate": training.learning_rate,
        "num_threads": torch.get_num_threads(),
    }
