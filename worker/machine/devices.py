"""Devices: networks are on a GPU where there is one, and so are samples where they fit (worker.machine.placed_samples)."""

import gc
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

import structlog
import torch
from torch import Tensor, nn

log = structlog.get_logger()

CPU = torch.device("cpu")
_WITH_TENSOR_CORES = (8, 0)  # of NVIDIA's GPUs, those that multiply numbers of single precision there
_FAST_IN_DOUBLE = ((8, 0), (9, 0), (10, 0))
_Result = TypeVar("_Result")

Precision = Literal["exact", "fast"]


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
    """Bytes that are free on a GPU, with those that torch holds and does not use; elsewhere nobody counts them."""
    if device.type != "cuda":
        return sys.maxsize
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU had no memory left: torch, its libraries and Triton each say so in their own way."""
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in told or "alloc_failed" in told


def computed_on(device: torch.device, compute: Callable[[torch.device], _Result]) -> _Result:
    """What is computed on a device, which is torch's default meanwhile, or on the processor where the device's memory runs out."""
    if device != CPU:
        try:
            with device:
                return compute(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            log.warning("the GPU's memory ran out, so the processor computes", error=str(error))
        # After the error, which holds what was computed.
        free_unused(device)
    return compute(CPU)


def free_unused(device: torch.device) -> None:
    """Give back the memory of a GPU that nothing in this process refers to, so that other processes see the room."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def is_fast_in_double(device: torch.device) -> bool:
    """Whether a GPU multiplies in double precision at half the speed of single; others need 32 to 64 times as long."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device) in _FAST_IN_DOUBLE


class Copies:
    """Copies arrays to a device while it computes: from pages that stay where they are, and beside the stream that computes.

    torch keeps such pages for the next copy, so they are for parts of arrays.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One for all: torch keeps memory for each stream.
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call] # torch has no types for it

    def begin(self, arrays: Mapping[str, Tensor]) -> Callable[[], dict[str, Tensor]]:
        """Begin to copy; what it gives waits until all is there."""
        beside = self._beside
        if beside is None:
            there = {name: array.to(self._device) for name, array in arrays.items()}
            return lambda: there
        with torch.cuda.stream(beside):
            there = {
                name: array.contiguous().pin_memory().to(self._device, non_blocking=True)
                for name, array in arrays.items()
            }

        def end() -> dict[str, Tensor]:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_stream(beside)
            for array in there.values():
                # Its memory is that of the other stream, which must not give it to a later copy too early.
                array.record_stream(computing)
            return there

        return end


def input_precision(device: torch.device, precision: Precision) -> str:
    """How Triton multiplies numbers of single precision: `exact` errs by about 1e-6 of them, `fast` by 1e-3."""
    if device.type == "cuda" and (torch.version.hip or torch.cuda.get_device_capability(device) < _WITH_TENSOR_CORES):
        return "ieee"
    return "tf32x3" if precision == "exact" else "tf32"
