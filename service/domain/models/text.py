"""Models for text."""

from typing import Literal

from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.models.entry import BACKBONE_NAME, Model, PretrainedParams, TrainingDefaults


class TextParams(Frozen):
    """Parameters of the tokenizer for text."""

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
        "mean", description="Vector of a text: the mean over its tokens, or its first token."
    )


TEXT = (
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
)
