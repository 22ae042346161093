"""Training options beside the steps of the optimizer; the defaults change nothing."""

from typing import Literal

from pydantic import Field

from service.domain.dataset import Frozen


class EarlyStopping(Frozen):
    """End of training once the mean training loss no longer falls. No sample is held out."""

    patience: int = Field(5, ge=1, le=10_000, description="Epochs without improvement after which training ends.")
    min_improvement: float = Field(
        0.01, ge=0, lt=1, description="Share of the best loss so far by which an epoch's must be lower to count."
    )


class TrainingOptions(Frozen):
    """Options of class weights, augmentation, early stopping and precision."""

    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: each class weighs the same in the loss that is trained on, however few its samples. "
        "Influence and signals use the unweighted loss: otherwise every sample of a rare class would be suspicious for its "
        "class alone.",
    )
    augmentation: Literal["none", "flip_crop"] = Field(
        "none",
        description="Of images. flip_crop: every epoch sees each image moved by up to an eighth of its sides, its edge "
        "repeated, and mirrored half the time; not for classes that a mirror confuses, such as digits and letters. "
        "Signals always see the plain image.",
    )
    early_stopping: EarlyStopping | None = Field(
        None,
        description="Left out, all epochs are run. The checkpoints that are scored spread over the epochs that were, "
        "so the states of all epochs are kept until then.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of the products in training; weights, losses and all signals are float32. bfloat16 pays only on "
        "processors that have it.",
    )
