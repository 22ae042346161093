"""ResNet-18 (arXiv:1512.03385, table 1), for small images and large. Takes `(pixels uint8 [n, channels, height, width],)`."""

from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import relu

from service.domain.models.image import ResNet18Params
from worker.data.shape import InputShape
from worker.models.image import Normalise, channels, channels_last, residual_stages

_SMALL = 64  # pixels a side, up to which the first layer keeps the resolution, as is usual for CIFAR


class BasicBlock(nn.Module):
    """Two convolutions around a shortcut, which is a convolution of its own where the shape changes (option B)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        # The shortcut convolves every `stride`-th pixel. A convolution of size 1 with that stride gives the same numbers, but
        # oneDNN on AVX2 then writes beyond its memory when fewer than 8 channels come in channels-last order (torch 2.13).
        self._stride = stride
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside))
            if stride > 1 or inside != outside
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """The block's output."""
        y = self.second_norm(self.second(relu(self.first_norm(self.first(x)))))
        return relu(y + self.shortcut(x[:, :, :: self._stride, :: self._stride]))


class ResNet18(nn.Module):
    """Four stages of two blocks; large images are made a quarter as high and wide first."""

    def __init__(self, params: ResNet18Params, shape: InputShape, classes: int) -> None:
        super().__init__()
        width = params.width
        self.stem = nn.Sequential(Normalise(shape), *_stem(shape, width))
        self.stages = residual_stages(BasicBlock, width, 4, 2)
        self.head = nn.Linear(width * 2**3, classes)

    def forward(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n o"]:
        """Logits."""
        logits: Tensor = self.head(self.stages(self.stem(pixels)).mean((2, 3)))
        return logits


def _stem(shape: InputShape, width: int) -> list[nn.Module]:
    small = shape.image is None or max(shape.image[1:]) <= _SMALL
    seen = (3, 1, 1) if small else (7, 2, 3)
    layers: list[nn.Module] = [
        nn.Conv2d(channels(shape), width, *seen, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    return layers if small else [*layers, nn.MaxPool2d(3, 2, 1)]


def resnet18(params: ResNet18Params, shape: InputShape, classes: int) -> nn.Module:
    """The ImageNet ResNet of 18 layers, with the first layer that suits the images."""
    return channels_last(ResNet18(params, shape, classes))


BUILDERS = {"resnet18": resnet18}
