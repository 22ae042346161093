"""A stand-in for the graphs of a GPU: it records torch's operations, with the memory that they read and write, and does them again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITING = (torch.ops.aten._local_scalar_dense.default,)


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _WAITING:
            raise RuntimeError("operation not permitted when stream is capturing")
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, found))
        return found


class RecordedOperations:
    """Python runs while recording, and never again: what it does not write into recorded memory changes nothing.

    `warmed`, `recorded`, `replayed` count. Other than a GPU it computes while it records.
    """

    def __init__(self) -> None:
        self.warmed = self.recorded = self.replayed = 0

    def warm_up(self, work: Callable[[], None]) -> None:
        for _ in range(2):
            self.warmed += 1
            work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        with _Tape() as tape:
            work()
        self.recorded += 1

        @torch.no_grad()
        def replay() -> None:
            self.replayed += 1
            for func, args, kwargs, before in tape.calls:
                now = func(*args, **kwargs)
                for old, new in zip(tree_leaves(before), tree_leaves(now), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

        return replay


class NothingRecorded:
    """Of a device on which no step can be recorded."""

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")
