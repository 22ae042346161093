"""EfficientNet-Lite0 (arXiv:1905.11946), weights of ImageNet, from the packages that carry it."""

import torch
from torch import nn

from worker.backbones.backbone_files import BackboneFiles
from worker.backbones.backbone_parts import BackboneParts, SpatialMean
from worker.backbones.image_reader import ImageReader

_SIDE = 224


def pictures(side: int | None) -> ImageReader:
    """Reads images as in its training: (pixel - 127) / 128."""
    return ImageReader.plain(_SIDE if side is None else side, (127.0,) * 3, (128.0,) * 3)


def parts(source: BackboneFiles, seen: ImageReader, side: int | None) -> BackboneParts:
    """The network, in sixteen blocks."""
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0", image_size=_SIDE if side is None else side)
    # A pickle, but of the package that the operator installed, and read as weights alone.
    model.load_state_dict(torch.load(source.files[0], weights_only=True))
    _plain(model)
    # All its layers have private names.
    stem = nn.Sequential(seen.normalise, model._conv_stem, model._bn0, model._swish)  # noqa: SLF001  the package names no other
    tail = nn.Sequential(model._conv_head, model._bn1, model._swish, SpatialMean())  # noqa: SLF001  the package names no other
    return BackboneParts("efficientnet_lite0", stem, tuple(model._blocks), tail)  # noqa: SLF001  the package names no other


def _plain(model: nn.Module) -> None:
    """Replace convolutions that pad in `forward` by a padding and a plain one, whose gradients can be computed."""
    for name, layer in list(model.named_children()):
        if isinstance(layer, nn.Conv2d):
            same = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                (layer.kernel_size[0], layer.kernel_size[1]),
                (layer.stride[0], layer.stride[1]),
                groups=layer.groups,
                bias=layer.bias is not None,
            )
            same.load_state_dict(layer.state_dict())
            around = layer.static_padding
            padding = nn.ZeroPad2d(around.padding) if isinstance(around, nn.ZeroPad2d) else nn.Identity()
            setattr(model, name, nn.Sequential(padding, same))
        else:
            _plain(layer)
