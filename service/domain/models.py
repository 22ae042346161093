"""Models that jobs can train, with their parameters and training defaults.

The networks themselves are in worker.models; the service knows them by this table alone.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from service.domain.dataset import Frozen, Modality
from service.domain.params import (
    ExportedParams,
    FTTransformerParams,
    HeadParams,
    MLPParams,
    NoParams,
    PretrainedImageParams,
    PretrainedTextParams,
    ResNet18Params,
    ResNetParams,
    SmallCNNParams,
    StateParams,
    TabMParams,
    TabularMLPParams,
    TabularResNetParams,
    TextCNNParams,
    TextTransformerParams,
)


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
        return self.modality == modality or (self.modality == "any" and modality in _ANY)


_ANY: tuple[Modality, ...] = ("tabular", "image", "embedding")
_TABLE = (
    Model(
        name="logistic_regression",
        title="Logistic regression",
        modality="tabular",
        params=NoParams,
        training=TrainingDefaults(learning_rate=0.05),
        cost="low",
    ),
    Model(
        name="mlp",
        title="Multi-layer perceptron",
        modality="tabular",
        params=TabularMLPParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
    Model(
        name="tabular_resnet",
        title="Tabular ResNet",
        modality="tabular",
        params=TabularResNetParams,
        training=TrainingDefaults(learning_rate=0.001, optimizer="adamw", weight_decay=1e-5),
        cost="medium",
    ),
    Model(
        name="tabm",
        title="TabM",
        modality="tabular",
        params=TabMParams,
        training=TrainingDefaults(learning_rate=0.002, optimizer="adamw", weight_decay=1e-5),
        cost="medium",
    ),
    Model(
        name="ft_transformer",
        title="FT-Transformer",
        modality="tabular",
        params=FTTransformerParams,
        training=TrainingDefaults(learning_rate=0.001, optimizer="adamw", weight_decay=1e-5),
        cost="high",
    ),
    Model(
        name="small_cnn",
        title="Small convolutional network",
        modality="image",
        params=SmallCNNParams,
        training=TrainingDefaults(learning_rate=0.02, epochs=10, batch_size=64),
        cost="low",
    ),
    Model(
        name="resnet20",
        title="ResNet-20",
        modality="image",
        params=ResNetParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=32, weight_decay=1e-4, schedule="cosine"),
        cost="high",
    ),
    Model(
        name="resnet18",
        title="ResNet-18",
        modality="image",
        params=ResNet18Params,
        training=TrainingDefaults(learning_rate=0.02, batch_size=32, weight_decay=1e-4, schedule="cosine"),
        cost="high",
    ),
    Model(
        name="pretrained_image",
        title="Pretrained network for images",
        modality="image",
        params=PretrainedImageParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        fine_tuning=TrainingDefaults(learning_rate=5e-4, batch_size=64, optimizer="adamw"),
        pretrained=True,
        cost="medium",
    ),
    Model(
        name="linear_probe",
        title="Linear probe",
        modality="embedding",
        params=NoParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
    Model(
        name="mlp_probe",
        title="MLP probe",
        modality="embedding",
        params=MLPParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
    Model(
        name="text_cnn",
        title="Convolutional network for text",
        modality="text",
        params=TextCNNParams,
        training=TrainingDefaults(learning_rate=0.002, batch_size=32, optimizer="adamw"),
        cost="low",
    ),
    Model(
        name="text_transformer",
        title="Transformer for text",
        modality="text",
        params=TextTransformerParams,
        training=TrainingDefaults(learning_rate=0.001, batch_size=64, optimizer="adamw"),
        cost="high",
    ),
    Model(
        name="pretrained_text",
        title="Pretrained network for text",
        modality="text",
        params=PretrainedTextParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        # Plain steps, whatever their size, undo what a Transformer knows.
        fine_tuning=TrainingDefaults(learning_rate=1e-4, batch_size=64, optimizer="adamw"),
        pretrained=True,
        cost="medium",
    ),
    Model(
        name="exported",
        title="Network of your own, exported by torch",
        modality="any",
        params=ExportedParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        fine_tuning=TrainingDefaults(learning_rate=5e-4, batch_size=64, optimizer="adamw"),
        pretrained=True,
        cost="medium",
    ),
    Model(
        name="safetensors",
        title="Weights of your own for a network of this table, which is trained as that one is",
        modality="any",
        params=StateParams,
        training=None,
        pretrained=True,
        cost="medium",
    ),
    Model(
        name="trace",
        title="Training recorded elsewhere, ranked without training again",
        modality="trace",
        params=NoParams,
        training=None,
        cost="low",
    ),
    Model(
        name="predictions",
        title="Out-of-sample predictions, ranked without any training",
        modality="predictions",
        params=NoParams,
        training=None,
        cost="low",
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _TABLE}

AUTO: dict[Modality, str] = {
    "tabular": "mlp",
    "image": "small_cnn",
    "embedding": "mlp_probe",
    "text": "text_cnn",
    "trace": "trace",
    "predictions": "predictions",
}
