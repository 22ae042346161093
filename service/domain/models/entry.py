"""An entry of the table of models, and parameters that several models share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from service.domain.dataset import Frozen, Modality

# One or two names, neither of which leads out of a folder.
BACKBONE_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"


class NoParams(Frozen):
    """Parameters of a model without any."""


class MLPParams(Frozen):
    """Parameters of a multi-layer perceptron."""

    width: int = Field(256, ge=1, le=8192, description="Units of each hidden layer.")
    blocks: int = Field(2, ge=1, le=16, description="Number of hidden layers.")
    dropout: float = Field(0.0, ge=0, lt=1)


class HeadParams(Frozen):
    """Parameters of the head that replaces the last layer of a pretrained network."""

    head: Literal["linear", "mlp"] = Field("linear", description="linear: one layer. mlp: two hidden layers and one.")
    width: int = Field(256, ge=1, le=8192, description="Units of each hidden layer of head mlp.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of head mlp.")


class PretrainedParams(HeadParams):
    """Parameters of a pretrained network and its head."""

    trainable_blocks: Annotated[int, Field(ge=0, le=200)] | Literal["all"] = Field(
        0,
        description="Number of last blocks that are trained. The blocks before them are run once, and their outputs are cached for later "
        "jobs. 0: none, the backbone is frozen. all: the whole network.",
    )


ANY: tuple[Modality, ...] = ("tabular", "image", "embedding")  # kinds of data that models of modality any take


class TrainingDefaults(Frozen):
    """Training options of a model where the client gives none."""

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["constant", "cosine"] = "constant"
    momentum: float = 0.9
    weight_decay: float = 0.0


class Model(Frozen):
    """A model; GET /models lists them."""

    name: str
    title: str
    modality: Modality | Literal["any"] = Field(description="any: tables, images and embeddings.")
    params: type[Frozen] = Field(exclude=True)
    training: TrainingDefaults | None = Field(description="null: nothing is trained, or it is trained as another one.")
    fine_tuning: TrainingDefaults | None = Field(
        None, description="What holds instead where a part of the pretrained network is trained, too."
    )
    pretrained: bool = False
    trees: bool = Field(
        False,
        description="Boosted trees and a forest instead of a network: an epoch is a block of ten rounds, and each is scored. Of `training` "
        "only epochs, learning_rate, early_stopping and seed mean anything, of `influence` only columns.",
    )
    cost: Literal["low", "medium", "high"] = Field(description="Training time relative to its modality's others.")

    def defaults(self, params: Mapping[str, Any]) -> TrainingDefaults | None:
        """Training options for these parameters, where the client gives none; None where nothing is trained."""
        tuned = params.get("trainable_blocks", 0) != 0
        return self.fine_tuning if tuned and self.fine_tuning is not None else self.training

    @property
    def has_front(self) -> bool:
        """Whether samples pass a backbone that may be frozen (worker.backbones) before the part that is trained."""
        return issubclass(self.params, HeadParams)

    def fits(self, modality: Modality) -> bool:
        """Whether the model can be trained on samples of this modality."""
        return self.modality == modality or (self.modality == "any" and modality in ANY)
