"""A pretrained network in order: a stem, blocks that may be trained, a tail that gives one row of numbers a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from service.domain.errors import FieldError, Invalid

Inputs = tuple[Tensor, ...]


class Chain(nn.Module):
    """Parts in order. What one gives in place of its first input the next one takes, beside the other inputs."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, *state: Tensor) -> Tensor | Inputs:
        """What the last part gives."""
        for part in self.parts:
            given = part(*state)
            state = given if isinstance(given, tuple) else (given, *state[1:])
        return state[0] if len(state) == 1 else state


@dataclass(frozen=True)
class Parts:
    """What a network is made of. `family` is its architecture's name; without `blocks` it cannot be cut."""

    family: str
    stem: nn.Module
    blocks: tuple[nn.Module, ...]
    tail: nn.Module

    def cut(self, trainable: int | Literal["all"]) -> tuple[Chain | None, Chain | None]:
        """The frozen front and the trained back, None where there is none. Raises Invalid for more than the blocks."""
        if trainable == "all":
            return None, Chain([self.stem, *self.blocks, self.tail])
        if trainable == 0:
            return _frozen(Chain([self.stem, *self.blocks, self.tail])), None
        if trainable > len(self.blocks):
            has = f"this {self.family} has {len(self.blocks)} blocks; 0 trains none of it and all everything"
            if not self.blocks:
                has = f"the blocks of a {self.family} are not known here; 0 trains none of it and all everything"
            raise Invalid(has, errors=[FieldError(loc=["model", "params", "trainable_blocks"], msg=has)])
        cut = len(self.blocks) - trainable
        return _frozen(Chain([self.stem, *self.blocks[:cut]])), Chain([*self.blocks[cut:], self.tail])


def _frozen(front: Chain) -> Chain:
    return front.eval().requires_grad_(requires_grad=False)


class Mean(nn.Module):
    """Means over the places of an image."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """One row an image."""
        return x.mean((2, 3))


class First(nn.Module):
    """The token that stands for the whole; with `beside` the mean of all others is put beside it."""

    def __init__(self, *, beside: bool = False) -> None:
        super().__init__()
        self.beside = beside

    def forward(self, x: Float[Tensor, "n l w"]) -> Float[Tensor, "n v"]:
        """One row a sample."""
        return torch.cat([x[:, 0], x[:, 1:].mean(1)], 1) if self.beside else x[:, 0]


class Pooled(nn.Module):
    """One row of length 1 a text: the mean over its tokens or its first one, as sentence encoders are trained."""

    def __init__(self, pooling: Literal["mean", "first"]) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Float[Tensor, "n l w"], there: Bool[Tensor, "n l"]) -> tuple[Float[Tensor, "n w"]]:
        """The rows, alone."""
        if self.pooling == "first":
            return (normalize(x[:, 0]),)
        weights = there[:, :, None].to(x.dtype)
        return (normalize((x * weights).sum(1) / weights.sum(1)),)
