"""How far the processor runs ahead of a GPU."""

import torch

_BATCHES = 16  # between two marks: a GPU never waits, and a mark costs little beside them


class Pace:
    """Keeps the processor within 32 batches of a GPU, which is called once for each.

    Without it an epoch of small steps is launched long before it is computed. Each batch that is copied needs pinned memory until it
    has been, and progress would be that of the launches.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._batches = device, 0
        self._mark: torch.cuda.Event | None = None

    def __call__(self) -> None:
        """A batch was launched; wait here where the GPU is too far behind."""
        self._batches += 1
        if self._device.type != "cuda" or self._batches % _BATCHES:
            return
        # The processor's core is for others while it waits.
        mark = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # in builds for CPUs
        mark.record(torch.cuda.current_stream(self._device))
        before, self._mark = self._mark, mark
        if before is not None:
            before.synchronize()
