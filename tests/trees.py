"""Small tables with numbers, a category and missing numbers, and boosted trees grown on them."""

import torch
from torch import Tensor

from service.domain.models.tabular import BoostedTreesParams
from service.domain.specs import Training
from worker.data.shape import InputShape
from worker.models.boosted_trees import BoostedTrees
from worker.training.boosting import grow
from worker.training.loop import EpochMetrics, TrainingState

COUNT = 150
SHAPE = InputShape("tabular", numeric=4, cardinalities=(5,), indicators=(2,))


def table(classes: int, seed: int = 0, count: int = COUNT) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Numeric columns, of which the third says where the second is missing, codes, and labels that they tell well."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=draws)
    numeric = torch.randn(count, 4, generator=draws) + labels[:, None] * torch.tensor([2.5, 0.0, 0.0, -1.5])
    numeric[:, 2] = (torch.rand(count, generator=draws) < 0.2).float()
    codes = (labels[:, None] + torch.randint(2, (count, 1), generator=draws)) % 5
    return (numeric, codes), labels


def training(blocks: int = 3, seed: int = 0) -> Training:
    return Training(
        epochs=blocks,
        batch_size=64,
        learning_rate=0.1,
        optimizer="sgd",
        schedule="constant",
        momentum=0.9,
        weight_decay=0,
        seed=seed,
        checkpoints="all",
    )


def grown(
    classes: int,
    params: BoostedTreesParams | None = None,
    blocks: int = 3,
    resume: TrainingState | None = None,
    states: list[TrainingState] | None = None,
) -> tuple[BoostedTrees, tuple[Tensor, Tensor], Tensor]:
    """Trees, and what they were grown on; each state is added to `states`."""
    inputs, labels = table(classes)
    model = BoostedTrees(params or BoostedTreesParams(), SHAPE, classes)

    def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
        if states is not None:
            states.append(state)

    grow(model, inputs, labels, training(blocks), resume=resume, after_epoch=keep)
    return model, inputs, labels
