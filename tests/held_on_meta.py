"""A stand-in for a GPU: tensors whose device is `meta` and that hold values all the same, computed on the processor.

An operation that mixes them with tensors of the processor is an error, as it is with a real GPU, so that code that forgets where its tensors are
is found on a machine without one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_ATEN = torch.ops.aten
_COPIES = (_ATEN._to_copy.default, _ATEN.copy_.default)


class Held(Tensor):
    """A tensor on the device, which holds its values on the processor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Held":
        made: Held = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch has a stand-in of its own there
        cls, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()


def _computed(operation: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    tensors = [one for one in tree_leaves((arguments, named)) if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, Held)]
    if there and operation not in _COPIES and any(not isinstance(one, Held) and one.dim() > 0 for one in tensors):
        raise RuntimeError(f"{operation}: tensors on two devices")
    device = named.get("device")
    on_device = bool(there) if device is None else torch.device(device).type == DEVICE.type
    if device is not None:
        named = {**named, "device": torch.device("cpu")}
    found = operation(*tree_map(_values, arguments), **tree_map(_values, named))
    if operation == _ATEN.copy_.default:
        return arguments[0]
    # An operation in place gives the very tensor that it was given.
    known = {id(one.held): one for one in there}

    def placed(one: Any) -> Any:
        if not on_device or not isinstance(one, Tensor):
            return one
        return known[id(one)] if id(one) in known else Held(one)

    return tree_map(placed, found)


def _values(one: Any) -> Any:
    return one.held if isinstance(one, Held) else one


class _OnMeta(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types for it
    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def device() -> Iterator[torch.device]:
    """The device, which exists in the block."""
    with torch.no_grad(), _OnMeta():  # type: ignore[no-untyped-call] # as above
        yield DEVICE
