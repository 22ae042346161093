"""Whether a GPU can still be computed on, and what a process gives back of it between two tasks."""

import gc

import torch


def still_computes(device: torch.device) -> bool:
    """Whether this process can go on with a device. After some errors, such as an illegal access, a GPU refuses every call until the process ends."""
    if device.type != "cuda":
        return True
    try:
        torch.ones(1, device=device).item()
    except torch.OutOfMemoryError:
        return True  # it answers; other processes have its memory
    except RuntimeError:
        return False
    return True


def free_unused(device: torch.device) -> None:
    """Give back the memory of a GPU that nothing in this process refers to, so that other processes see the room."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
