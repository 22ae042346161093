"""The parameters of each model, as clients give them: one class a family."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.domain.dataset import Frozen

# One or two names, neither of which leads out of a folder.
BACKBONE_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"
NETWORK_ID = "^net_[a-z0-9]+$"

_Mean = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Deviation = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


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


class HeadParams(Frozen):
    """What is put on top of a network that was trained before."""

    head: Literal["linear", "mlp"] = Field("linear", description="One layer, or one after two hidden ones.")
    width: int = Field(256, ge=1, le=8192, description="Of head mlp: units of each hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of head mlp.")


class PretrainedParams(HeadParams):
    """How much of a pretrained network is trained, and what is put on top of it."""

    trainable_blocks: Annotated[int, Field(ge=0, le=200)] | Literal["all"] = Field(
        0,
        description="How many of its last blocks are trained; what comes before them is run once, and what it gave is "
        "kept for later jobs. 0: none, the backbone is frozen. all: everything.",
    )


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


class ExportedParams(HeadParams):
    """Which exported program that was uploaded, and how it is used."""

    network: str = Field(pattern=NETWORK_ID, description="Id of an uploaded .pt2, see POST /networks.")
    layer: str | None = Field(
        None,
        max_length=500,
        description="The linear layer that the head takes the place of, as the network calls it (GET /networks/{id} lists "
        "them); the last one if left out. What comes after it is not run.",
    )
    trainable_blocks: Literal[0, "all"] = Field(
        0, description="0: what comes before the layer is run once and kept for later jobs. all: it is trained on, too."
    )
    pixel_mean: Annotated[list[_Mean], Field(min_length=1, max_length=3)] | None = Field(
        None, description="Of images: what is taken from each colour, of pixels from 0 to 1; nothing if left out."
    )
    pixel_deviation: Annotated[list[_Deviation], Field(min_length=1, max_length=3)] | None = Field(
        None, description="And what is divided by then; 1 if left out."
    )


class StateParams(Frozen):
    """Which uploaded weights, and of which network of the table they are."""

    network: str = Field(pattern=NETWORK_ID, description="Id of an uploaded safetensors file, see POST /networks.")
    architecture: str = Field(
        max_length=100,
        description="A model of GET /models for tables, images or embeddings that is not pretrained itself.",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="That model's own parameters.")
    head: Literal["keep", "new"] = Field(
        "keep",
        description="Whether training goes on from the last layer's weights, or from new ones for these classes.",
    )
