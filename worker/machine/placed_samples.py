"""Samples on a device: all of them from the beginning where they fit, else copied batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from worker.machine.devices import free_memory

_SHARE = 1 / 3  # of the free memory of a GPU; the rest is for what a network computes


@dataclass(frozen=True)
class PlacedSamples:
    """Tensors with one row per sample, and the device that batches of them are wanted on."""

    parts: tuple[Tensor, ...]
    device: torch.device

    @classmethod
    def on(cls, device: torch.device, parts: Sequence[Tensor]) -> "PlacedSamples":
        """The samples, moved to a GPU if they fit into a third of what is free there; else they stay where they are."""
        here = cls(tuple(parts), device)
        if device.type != "cuda" or sum(part.nbytes for part in parts) > _SHARE * free_memory(device):
            return here
        try:
            return cls(tuple(part.to(device) for part in parts), device)
        except torch.OutOfMemoryError:  # another process was faster
            return here

    @property
    def resident(self) -> bool:
        """Whether nothing is copied for a batch."""
        return all(part.device == self.device for part in self.parts)

    def place(self, batches: Sequence[Int[Tensor, " _"]]) -> Sequence[Int[Tensor, " _"]]:
        """The same rows, on the device that they are selected on."""
        if not self.resident or self.device.type == "cpu":
            return batches
        return torch.split(torch.cat([*batches]).to(self.device), [len(batch) for batch in batches])

    def take(self, rows: Int[Tensor, " b"] | slice) -> tuple[Tensor, ...]:
        """Some rows of each part, on the device."""
        found = (part[rows] if isinstance(rows, slice) else part.index_select(0, rows) for part in self.parts)
        return tuple(self._pinned(part).to(self.device, non_blocking=True) for part in found)

    def fill(self, rows: Int[Tensor, " b"], buffers: Sequence[Tensor]) -> None:
        """Write what `take` gives into tensors that it gave before."""
        for part, buffer in zip(self.parts, buffers, strict=True):
            if part.device == self.device:
                torch.index_select(part, 0, rows, out=buffer)
            else:
                buffer.copy_(self._pinned(part.index_select(0, rows)), non_blocking=True)

    def _pinned(self, found: Tensor) -> Tensor:
        """For a GPU in memory that the system may not move: from there it copies while the processor goes on."""
        return found.pin_memory() if self.device.type == "cuda" and found.device.type == "cpu" else found
