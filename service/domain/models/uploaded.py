"""Networks that clients upload, and results that they computed themselves."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.models.entry import HeadParams, Model, NoParams, TrainingDefaults

NETWORK_ID = "^net_[a-z0-9]+$"

_Mean = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Deviation = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


class ExportedParams(HeadParams):
    """Parameters of an uploaded exported program."""

    network: str = Field(pattern=NETWORK_ID, description="Id of an uploaded .pt2, see POST /networks.")
    layer: str | None = Field(
        None,
        max_length=500,
        description="Name of the linear layer that the head replaces (GET /networks/{id} lists them); the last one if left out. Layers "
        "after it are not run.",
    )
    trainable_blocks: Literal[0, "all"] = Field(
        0,
        description="0: the layers before it are run once, and their outputs are cached for later jobs. all: they are trained too.",
    )
    pixel_mean: Annotated[list[_Mean], Field(min_length=1, max_length=3)] | None = Field(
        None, description="Mean that is subtracted from each colour channel, of pixels from 0 to 1; 0 if left out."
    )
    pixel_deviation: Annotated[list[_Deviation], Field(min_length=1, max_length=3)] | None = Field(
        None, description="Deviation by which each channel is then divided; 1 if left out."
    )


class StateParams(Frozen):
    """Parameters of uploaded weights and of the model that they belong to."""

    network: str = Field(pattern=NETWORK_ID, description="Id of an uploaded safetensors file, see POST /networks.")
    architecture: str = Field(
        max_length=100,
        description="A model of GET /models for tables, images or embeddings that is not pretrained itself.",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of that model.")
    head: Literal["keep", "new"] = Field(
        "keep",
        description="keep: training continues from the last layer's weights. new: the last layer begins anew for these classes.",
    )


UPLOADED = (
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
