"""Whether a GPU can still be computed on."""

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
