"""A pretrained network in order: a stem, blocks that may be trained, a tail that gives one row of numbers per sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from service.domain.errors import FieldError, Invalid
from worker.data.encoding import Inputs


class MultiInputSequential(nn.Module):
    """Modules in order, with several inputs: each replaces its first input and passes the others on, or returns them all."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, *state: Tensor) -> Tensor | Inputs:
        """Output of the last module."""
        for part in self.parts:
            given = part(*state)
            state = given if isinstance(given, tuple) else (given, *state[1:])
        return state[0] if len(state) == 1 else state


@dataclass(frozen=True)
class BackboneParts:
    """Parts of a network. `family`: name of its architecture. Without `blocks` it cannot be split."""

    family: str
    stem: nn.Module
    blocks: tuple[nn.Module, ...]
    tail: nn.Module

    def split(self, trainable: int | Literal["all"]) -> tuple[MultiInputSequential | None, MultiInputSequential | None]:
        """Frozen part and trained part, None for one that is empty. Raises Invalid for more blocks than there are."""
        if trainable == "all":
            return None, MultiInputSequential([self.stem, *self.blocks, self.tail])
        if trainable == 0:
            return _frozen(MultiInputSequential([self.stem, *self.blocks, self.tail])), None
        if trainable > len(self.blocks):
            has = f"this {self.family} has {len(self.blocks)} blocks; 0 trains none of it and all everything"
            if not self.blocks:
                has = f"the blocks of a {self.family} are unknown; 0 trains none of it and all everything"
            raise Invalid(has, errors=[FieldError(loc=["model", "params", "trainable_blocks"], msg=has)])
        cut = len(self.blocks) - trainable
        return _frozen(MultiInputSequential([self.stem, *self.blocks[:cut]])), MultiInputSequential(
            [*self.blocks[cut:], self.tail]
        )


def _frozen(front: MultiInputSequential) -> MultiInputSequential:
    return front.eval().requires_grad_(requires_grad=False)


class SpatialMean(nn.Module):
    """Mean over the places of an image."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """One row per image."""
        return x.mean((2, 3))


class FirstToken(nn.Module):
    """The first token; with `beside` the mean of all others is appended."""

    def __init__(self, *, beside: bool = False) -> None:
        super().__init__()
        self.beside = beside

    def forward(self, x: Float[Tensor, "n l w"]) -> Float[Tensor, "n v"]:
        """One row per sample."""
        return torch.cat([x[:, 0], x[:, 1:].mean(1)], 1) if self.beside else x[:, 0]


class PooledText(nn.Module):
    """One row of length 1 per text: the mean over its tokens, or its first one, as in the training of sentence encoders."""

    def __init__(self, pooling: Literal["mean", "first"]) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Float[Tensor, "n l w"], there: Bool[Tensor, "n l"]) -> tuple[Float[Tensor, "n w"]]:
        """The rows, without the mask."""
        if self.pooling == "first":
            return (normalize(x[:, 0]),)
        weights = there[:, :, None].to(x.dtype)
        return (normalize((x * weights).sum(1) / weights.sum(1)),)
