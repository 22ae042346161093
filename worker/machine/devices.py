"""Devices: networks are on a GPU where there is one, and so are samples where they fit (worker.machine.placed_samples)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")


class NoSuchDevice(Exception):
    """The setting names a device that this machine lacks."""


def choose_device(wanted: str, process: int) -> torch.device:
    """The device for a setting: `auto`, `cpu`, `cuda` or `cuda:1`.

    `process` counts the worker processes of a host from 0; they take its GPUs in turn. Raises NoSuchDevice.
    """
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
    """The device of a model's parameters; trees, which have none, are on the processor."""
    return next((parameter.device for parameter in model.parameters()), CPU)


def to_device(parts: Iterable[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """The tensors on `device`; those that are there already are not copied."""
    return tuple(part.to(device, non_blocking=True) for part in parts)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU, with those that torch holds and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
