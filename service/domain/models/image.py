"""Models for images."""

from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.models.entry import BACKBONE_NAME, Model, PretrainedParams, TrainingDefaults


class SmallCNNParams(Frozen):
    """Parameters of the small convolutional network."""

    width: int = Field(32, ge=4, le=512, description="Channels of the first convolution; doubled twice.")
    image_size: int | None = Field(None, ge=8, le=512, description="Side in pixels; the images' own when left out.")


class ResNetParams(Frozen):
    """Parameters of the CIFAR-style ResNet-20 (arXiv:1512.03385)."""

    width: int = Field(16, ge=4, le=256, description="Channels of the first stage.")
    image_size: int | None = Field(None, ge=16, le=512, description="Side in pixels; the images' own when left out.")


class ResNet18Params(Frozen):
    """Parameters of ResNet-18 (arXiv:1512.03385)."""

    width: int = Field(64, ge=4, le=256, description="Channels of the first stage; doubled thrice.")
    image_size: int | None = Field(None, ge=16, le=512, description="Side in pixels; the images' own when left out.")


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


IMAGE = (
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
)
