"""Networks for images. Each takes `(pixels uint8 [n, channels, height, width],)` and normalises them itself."""

from collections.abc import Callable
from itertools import pairwise
from math import gcd

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from service.domain.models.image import ResNetParams, SmallCNNParams
from worker.data.shape import InputShape


class Normalise(nn.Module):
    """Standardises pixels per channel, with the mean and deviation of the training set."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(shape.pixel_mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(shape.pixel_deviation).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Standardised float32 pixels, channels last."""
        # Channels last: convolutions and pooling on a CPU take a third of the time.
        return (pixels.float().contiguous(memory_format=torch.channels_last) - self.mean) / self.deviation


def channels(shape: InputShape) -> int:
    """Number of channels. Raises ValueError for data that is not images."""
    if shape.image is None:
        raise ValueError("an image model needs image data")
    return shape.image[0]


class SmallCNN(nn.Module):
    """Three convolutions with group normalisation, so that no sample depends on its batch."""

    def __init__(self, params: SmallCNNParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        widths = (channels(shape), params.width, 2 * params.width, 4 * params.width)
        blocks: list[nn.Module] = [Normalise(shape)]
        for inside, outside in pairwise(widths):
            blocks += [
                nn.Conv2d(inside, outside, 3, padding=1, bias=False),
                nn.MaxPool2d(2),
                nn.GroupNorm(gcd(4, outside), outside),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.hidden = nn.Linear(widths[-1] * 9, 128)
        self.head = nn.Linear(128, classes)

    def forward(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n o"]:
        """Logits."""
        logits: Tensor = self.head(relu(self.hidden(self.body(pixels))))
        return logits


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut without parameters (arXiv:1512.03385, option A)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, outside - inside
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """The block's output."""
        y = self.second_norm(self.second(relu(self.first_norm(self.first(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            shortcut = pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return relu(y + shortcut)


def residual_stages(block: Callable[[int, int, int], nn.Module], width: int, stages: int, blocks: int) -> nn.Sequential:
    """`stages` stages of `blocks` blocks; every stage but the first halves the sides and doubles the width."""
    made = []
    for stage in range(stages):
        outside = width * 2**stage
        first = block(outside // 2, outside, 2) if stage else block(width, width, 1)
        made += [first, *(block(outside, outside, 1) for _ in range(blocks - 1))]
    return nn.Sequential(*made)


class ResNet20(nn.Module):
    """Three stages of three blocks for small images (arXiv:1512.03385, section 4.2)."""

    def __init__(self, params: ResNetParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        width = params.width
        self.stem = nn.Sequential(
            Normalise(shape), nn.Conv2d(channels(shape), width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = residual_stages(ResidualBlock, width, 3, 3)
        self.head = nn.Linear(width * 2**2, classes)

    def forward(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n o"]:
        """Logits."""
        logits: Tensor = self.head(self.stages(self.stem(pixels)).mean((2, 3)))
        return logits


def small_cnn(params: SmallCNNParams, shape: InputShape, classes: int) -> nn.Module:
    """A network for small images that trains in seconds on a CPU."""
    return channels_last(SmallCNN(params, shape, classes))


def resnet20(params: ResNetParams, shape: InputShape, classes: int) -> nn.Module:
    """The CIFAR-style ResNet."""
    return channels_last(ResNet20(params, shape, classes))


def channels_last(model: nn.Module) -> nn.Module:
    """The model with channels-last weights, the layout of its activations."""
    # torch's own types leave this argument of `to` out.
    moved: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    return moved


BUILDERS = {"small_cnn": small_cnn, "resnet20": resnet20}
