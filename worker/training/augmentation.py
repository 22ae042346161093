"""Augmentation of images during training."""

import torch
from jaxtyping import UInt8
from torch import Tensor

_SHARE = 8  # of a side, by one part of which an image is moved at most


def flip_crop(pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Shift each image by up to an eighth of its sides, repeating its edge, and mirror half of them.

    Draws from torch's global random state of the CPU, wherever the images are.
    """
    count, _, height, width = pixels.shape
    rows, columns = _moved(count, height), _moved(count, width)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    images = torch.arange(count, device=pixels.device)
    rows, columns = (moved.to(pixels.device, non_blocking=True) for moved in (rows, columns))
    return pixels[images[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _moved(count: int, side: int) -> Tensor:
    most = max(1, side // _SHARE)
    return (torch.arange(side) + torch.randint(-most, most + 1, (count, 1))).clamp(0, side - 1)
