"""CIFAR-style ResNets from plain arrays: a .npz with the names of github.com/akamaster/pytorch_resnet_cifar10."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worker.backbones.backbone_files import BackboneFiles, invalid_backbone
from worker.backbones.backbone_parts import BackboneParts, SpatialMean
from worker.backbones.image_reader import ImageReader
from worker.models.image import ResidualBlock

_SIDE = 32
_BLOCK = re.compile(r"layer([123])\.(\d+)\.conv1\.weight")


def pictures(side: int | None) -> ImageReader:
    """Reads images as in their training: with the colour statistics of ImageNet."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    colours = tuple(255 * one for one in mean), tuple(255 * one for one in deviation)
    return ImageReader.plain(_SIDE if side is None else side, *colours)


def parts(source: BackboneFiles, seen: ImageReader) -> BackboneParts:
    """The network, with as many blocks as there are arrays for. Raises Invalid for arrays of another network."""
    try:
        with np.load(source.files[0], allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
    except (ValueError, OSError) as error:
        raise invalid_backbone(f"{source.name} is no file of plain arrays: {error}") from error
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    places = sorted((int(found[1]), int(found[2])) for found in map(_BLOCK.fullmatch, weights) if found)
    try:
        stem = nn.Sequential(seen.normalise, _convolution(weights["conv1.weight"], 1), _norm(weights, "bn1"), nn.ReLU())
        blocks = [_block(weights, f"layer{stage}.{place}") for stage, place in places]
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise invalid_backbone(
            f"{source.name} does not hold a CIFAR-style ResNet: {error}; conv1.weight, bn1.*, layer1.0.conv1.weight, "
            "layer1.0.bn1.* and so on are expected"
        ) from error
    return BackboneParts("ResNet", stem, tuple(blocks), SpatialMean())


def _block(weights: Mapping[str, Tensor], name: str) -> ResidualBlock:
    first = weights[f"{name}.conv1.weight"]
    outside, inside = first.shape[:2]
    block = ResidualBlock(inside, outside, 2 if inside != outside else 1)
    for ours, theirs in (("first", "conv1"), ("second", "conv2")):
        getattr(block, ours).weight.data.copy_(weights[f"{name}.{theirs}.weight"])
    block.first_norm, block.second_norm = _norm(weights, f"{name}.bn1"), _norm(weights, f"{name}.bn2")
    return block


def _convolution(weight: Tensor, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride, 1, bias=False)
    layer.weight.data.copy_(weight)
    return layer


def _norm(weights: Mapping[str, Tensor], name: str) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(len(weights[f"{name}.weight"]))
    for part in ("weight", "bias", "running_mean", "running_var"):
        getattr(layer, part).data.copy_(weights[f"{name}.{part}"])
    return layer
