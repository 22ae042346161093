"""A network exported by torch.export, as data: tensors and a list of operator calls. No code of the file is run.

`torch.export.load` would unpickle the file and look up names anywhere in torch. Here, `service.domain.program_parser` reads
the graph as JSON and accepts the operators of `service.domain.operators` alone; weights are plain bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from service.domain.errors import Invalid

ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}  # bytes, by torch's numbers of types
FLOATING = frozenset({6, 7, 8, 13})
BYTE, SINGLE = 1, 7


@dataclass(frozen=True)
class ValueName:
    """Reference to a tensor or size: a stored one, the input, or the result of an earlier call."""

    name: str


@dataclass(frozen=True)
class TorchConstant:
    """A number type or memory format, by torch's own number; a device stands for that of the computation."""

    of: Literal["dtype", "memory_format", "device"]
    number: int


Argument = ValueName | TorchConstant | None | bool | int | float | str | tuple["Argument", ...]


@dataclass(frozen=True)
class Call:
    """Call of an aten operator with its overload, or of an operator on sizes, which has none.

    `results` are names for the results in order; None for a result that is not used.
    """

    operator: str
    overload: str | None
    positional: tuple[Argument, ...]
    named: Mapping[str, Argument]
    results: tuple[str | None, ...]


@dataclass(frozen=True)
class Weight:
    """A stored tensor: `argument` is its name in the calls, `name` its name in the network, `file` the member with its bytes.

    `strides` and `offset` count numbers, not bytes.
    """

    argument: str
    name: str
    file: str
    dtype: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    trained: bool

    @property
    def bytes(self) -> int:
        """Smallest size of its file in bytes."""
        reach = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return 0 if 0 in self.shape else (self.offset + reach + 1) * ITEM_SIZES[self.dtype]

    @property
    def loaded(self) -> int:
        """Largest size in bytes in memory: numbers that strides repeat are counted each time."""
        return prod(size or 1 for size in self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer of the program; `entered` is the name of its input, `inside` and `outside` are its widths."""

    name: str
    inside: int
    outside: int
    entered: str


@dataclass(frozen=True)
class Program:
    """An exported network with one input, named `given`.

    `shape` is the shape of the input, None for sizes that may vary, the number of samples first. `layers` are in the order of
    their calls.
    """

    given: str
    shape: tuple[int | None, ...]
    dtype: int
    weights: tuple[Weight, ...]
    calls: tuple[Call, ...]
    layers: tuple[LinearLayer, ...]

    def layer(self, name: str | None) -> LinearLayer:
        """The layer of this name, or the last one. Raises Invalid."""
        if not self.layers:
            raise unsupported("it calls no linear layer whose weights it stores")
        if name is None:
            return self.layers[-1]
        found = [one for one in self.layers if one.name == name]
        if len(found) != 1:
            names = ", ".join(one.name for one in self.layers[-20:])
            problem = "is called more than once" if found else "is no linear layer of it"
            raise unsupported(f"{name} {problem}; there are {names}")
        return found[0]


def unsupported(message: str) -> Invalid:
    """The error for a program that cannot be run here; `message` says why."""
    # Names in the file may hold surrogates, which no answer can hold.
    return Invalid(f"the exported program: {message.encode(errors='backslashreplace').decode()}")
