"""The table of models: what may be asked for, with which parameters and training defaults.

The networks themselves are in worker.models; the service knows them by this table alone.
"""

from typing import Annotated, Literal

from pydantic import Field

from service.domain.dataset import Frozen, Modality

# One or two names, neither of which leads out of a folder.
BACKBONE_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"


class NoParams(Frozen):
    """A model with nothing to set."""


class MLPParams(Frozen):
    """Parameters of a multi-layer perceptron."""

    width: int = Field(256, ge=1, le=8192, description="Units of each hidden layer.")
    blocks: int = Field(2, ge=1, le=16, description="Number of hidden layers.")
    dropout: float = Field(0.0, ge=0, lt=1)


class NumericEmbeddings(Frozen):
    """How numeric columns enter a network for tables (arXiv:2203.05556)."""

    numeric_embeddings: Literal["none", "piecewise_linear", "periodic"] = Field(
        "none",
        description="none: each number as it is. piecewise_linear: a learnt function of each column, linear between "
        "quantiles of the training part. periodic: learnt sines and cosines of each column.",
    )
    embedding_width: int = Field(16, ge=1, le=256, description="Numbers that each numeric column becomes, if embedded.")


class TabularMLPParams(MLPParams, NumericEmbeddings):
    """Parameters of a multi-layer perceptron for tables."""


class TabularResNetParams(NumericEmbeddings):
    """Parameters of the tabular ResNet (arXiv:2106.11959)."""

    width: int = Field(128, ge=8, le=4096, description="Width of the residual stream.")
    blocks: int = Field(2, ge=1, le=16)
    hidden_multiplier: float = Field(2.0, ge=0.125, le=8, description="Width inside a block over `width`.")
    dropout: float = Field(0.1, ge=0, lt=1)


class TabMParams(NumericEmbeddings):
    """Parameters of TabM (arXiv:2410.24210)."""

    members: int = Field(16, ge=2, le=128, description="Networks that share most of their weights and answer together.")
    sharing: Literal["batch", "mini"] = Field(
        "batch",
        description="What each member has of its own: scales and biases at every layer, or one scaling of the input.",
    )
    width: int = Field(128, ge=8, le=4096, description="Units of each hidden layer.")
    blocks: int = Field(2, ge=1, le=16, description="Number of hidden layers.")
    dropout: float = Field(0.1, ge=0, lt=1)


class FTTransformerParams(Frozen):
    """Parameters of the FT-Transformer (arXiv:2106.11959)."""

    width: int = Field(64, ge=8, le=1024, multiple_of=8, description="Size of a token; a multiple of 8.")
    blocks: int = Field(2, ge=1, le=12)
    dropout: float = Field(0.1, ge=0, lt=1)


class SmallCNNParams(Frozen):
    """Parameters of the small convolutional network."""

    width: int = Field(32, ge=4, le=512, description="Channels of the first convolution; doubled twice.")
    image_size: int | None = Field(None, ge=8, le=512, description="Side in pixels; the images' own when left out.")


class ResNetParams(Frozen):
    """Parameters of the CIFAR-style ResNet-20 (arXiv:1512.03385)."""

    width: int = Field(16, ge=4, le=256, description="Channels of the first stage.")
    image_size: int | None = Field(None, ge=16, le=512, description="Side in pixels; the images' own when left out.")


class TextParams(Frozen):
    """How text is cut into tokens."""

    vocabulary: int = Field(8_000, ge=100, le=100_000, description="Tokens learnt from the training texts, at most.")
    length: int = Field(128, ge=4, le=1024, description="Tokens of a text that are read, at most.")


class TextCNNParams(TextParams):
    """Parameters of the convolutional network for text."""

    width: int = Field(64, ge=4, le=1024, description="Size of a word vector.")
    channels: int = Field(64, ge=4, le=1024, description="Channels of each of the three convolutions.")
    dropout: float = Field(0.2, ge=0, lt=1)


class TextTransformerParams(TextParams):
    """Parameters of the Transformer for text."""

    width: int = Field(64, ge=16, le=1024, multiple_of=16, description="Size of a word vector; a multiple of 16.")
    blocks: int = Field(2, ge=1, le=12)
    heads: Literal[1, 2, 4, 8, 16] = Field(4, description="Of each block's attention.")
    dropout: float = Field(0.1, ge=0, lt=1)


class ResNet18Params(Frozen):
    """Parameters of ResNet-18 (arXiv:1512.03385)."""

    width: int = Field(64, ge=4, le=256, description="Channels of the first stage; doubled thrice.")
    image_size: int | None = Field(None, ge=16, le=512, description="Side in pixels; the images' own when left out.")


class PretrainedParams(Frozen):
    """Which pretrained network, how much of it is trained, and what is put on top of it."""

    trainable_blocks: Annotated[int, Field(ge=0, le=200)] | Literal["all"] = Field(
        0,
        description="How many of its last blocks are trained; what comes before them is run once, and what it gave is "
        "kept for later jobs. 0: none, the backbone is frozen. all: everything.",
    )
    head: Literal["linear", "mlp"] = Field("linear", description="One layer, or one after two hidden ones.")
    width: int = Field(256, ge=1, le=8192, description="Of head mlp: units of each hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of head mlp.")


class PretrainedImageParams(PretrainedParams):
    """Parameters of a pretrained network for images."""

    backbone: str = Field(
        "efficientnet_lite0",
        max_length=200,
        pattern=BACKBONE_NAME,
        description="efficientnet_lite0, which comes as a package; a folder (config.json, safetensors, "
        "preprocessor_config.json) or a .npz of ResNet weights in the models folder of the installation; or a model of "
        "the Hugging Face hub, such as facebook/dinov2-small. Safetensors only; code of a model is never run.",
    )
    image_size: int | None = Field(None, ge=16, le=1024, description="Side in pixels; the backbone's own if left out.")


class PretrainedTextParams(PretrainedParams):
    """Parameters of a pretrained network for text."""

    backbone: str = Field(
        "all-minilm-l6-v2",
        max_length=200,
        pattern=BACKBONE_NAME,
        description="all-minilm-l6-v2, which comes as a package; a folder (config.json, safetensors, tokenizer.json) in "
        "the models folder of the installation; or a model of the Hugging Face hub, such as intfloat/e5-small-v2. "
        "Safetensors only; code of a model is never run.",
    )
    length: int = Field(128, ge=4, le=1024, description="Tokens of a text that are read, at most.")
    pooling: Literal["mean", "first"] = Field(
        "mean", description="What stands for a text: the mean over its tokens, or its first token."
    )


class TrainingDefaults(Frozen):
    """How a model is trained when the client does not say."""

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["constant", "cosine"] = "constant"
    momentum: float = 0.9
    weight_decay: float = 0.0


class Model(Frozen):
    """One row of the table."""

    name: str
    title: str
    modality: Modality
    params: type[Frozen] = Field(exclude=True)
    training: TrainingDefaults | None = Field(description="null: nothing is trained.")
    pretrained: bool = False
    cost: Literal["low", "medium", "high"] = Field(description="Training time relative to its modality's others.")


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
)

MODELS: dict[str, Model] = {model.name: model for model in _TABLE}

AUTO: dict[Modality, str] = {
    "tabular": "mlp",
    "image": "small_cnn",
    "embedding": "mlp_probe",
    "text": "text_cnn",
    "trace": "trace",
}
