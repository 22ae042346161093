"""Where a network computes: a GPU where there is one, or the CPU. Samples stay with the CPU and are sent by batches."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")


class NoSuchDevice(Exception):
    """The setting names a device that this machine lacks."""


def choose_device(wanted: str, process: int) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:1`; the worker processes of a host, counted from 0, take its GPUs in turns."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return CPU
    there = torch.cuda.device_count()
    device = torch.device("cuda" if wanted == "auto" else wanted)
    if there == 0 or (device.index is not None and device.index >= there):
        raise NoSuchDevice(
            f"SUSPECTS_DEVICE is {wanted}, and torch sees {there} GPUs here; is its build the one for CPUs?"
        )
    return torch.device("cuda", process % there) if device.index is None else device


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next(model.parameters()).device


def to_device(parts: Iterable[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """The same tensors where a model can read them; themselves if they are there."""
    return tuple(part.to(device, non_blocking=True) for part in parts)
