"""The processes of a distributed training that record together. One process alone is the only rank of one."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from time import monotonic
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")
_LEAST_S = 0.1  # that a rank is waited for after the others


class Ranks:
    """All ranks of the default process group of torch.distributed, which must all make one at the same place.

    They exchange small objects on the CPU, through a gloo group of their own with the timeout of the default group, so that
    nothing mixes with what the training exchanges. A rank that is gone, or does not come in time, is a RuntimeError on all others.
    """

    def __init__(self) -> None:
        self.grouped = in_group()
        self.count = distributed.get_world_size() if self.grouped else 1
        self.rank = distributed.get_rank() if self.grouped else 0
        self._timeout = _timeout() if self.count > 1 else timedelta(0)
        self._group: Any = self._connect() if self.count > 1 else None
        self._others_listen = self.count > 1

    def each(self, step: str, work: Callable[[], T], patience: timedelta | None = None) -> list[T]:
        """What `work` gives on every rank, in their order. Where it fails on one, all others raise RuntimeError, which names it.

        `patience`: how long a rank waits for the others; the timeout of the default group where it is left out.
        """
        if self.count == 1:
            return [work()]
        failure: Exception | None = None
        value: T | None = None
        try:
            value = work()
        except Exception as error:  # noqa: BLE001  raised below, once the others know
            failure = error
        text = None if failure is None else f"{type(failure).__name__}: {failure}"
        found: list[tuple[str | None, Any]] = []
        try:
            found = self._exchange((text, value), step, patience or self._timeout)
        except RuntimeError:
            if failure is None:
                raise
        if failure is not None:
            raise failure
        for rank, (failed, _) in enumerate(found):
            if failed is not None:
                raise RuntimeError(f"{step}: rank {rank} failed: {failed}")
        return [one for _, one in found]

    def gather(self, value: T, step: str) -> list[T]:
        """The value of every rank, in their order."""
        return self.each(step, lambda: value)

    def together(self, step: str, work: Callable[[], T], patience: timedelta | None = None) -> T:
        """What `work` gives on this rank, once it has succeeded on all."""
        kept: list[T] = []
        self.each(step, lambda: kept.append(work()), patience)
        return kept[0]

    def agree(self, given: Mapping[str, Any]) -> None:
        """Raise ValueError, on all ranks, where one has other values than rank 0."""
        every = self.gather(dict(given), "comparing the arguments")
        for rank, held in enumerate(every):
            for name, value in held.items():
                if value != every[0][name]:
                    raise ValueError(
                        f"rank {rank} gave {name}{value!r} and rank 0 {every[0][name]!r}; all ranks must give the same"
                    )

    def first_alone(self, step: str, work: Callable[[Callable[[], None]], None]) -> None:
        """Let rank 0 work while the others wait, however long it takes: `work` calls its argument now and then."""

        def turn() -> None:
            if self.rank:
                while self._signal(going_on=True):
                    pass
                return
            try:
                work(self._tick)
            finally:
                self._signal(going_on=False)

        self.together(step, turn)

    def close(self) -> None:
        """End the group of the ranks; that of the training stays."""
        if self._group is not None:
            distributed.destroy_process_group(self._group)

    def _exchange(self, value: Any, step: str, patience: timedelta) -> list[Any]:
        if not in_group():
            raise RuntimeError(f"{step}: the process group is gone; close the recorder before destroy_process_group()")
        missing = self._missing(patience) if self.rank == 0 else self._missing_by_first(patience)
        if missing:
            raise RuntimeError(
                f"{step}: rank {', '.join(map(str, missing))} ended, or did not come within {patience}; every rank must make the "
                "recorder and call record and close as often as the others"
            )
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value, group=self._group)
        return found

    def _missing(self, patience: timedelta) -> list[int]:
        """On rank 0, the ranks that do not come here; those that do are told. The barriers of torch name them on rank 0 alone."""
        end = monotonic() + patience.total_seconds()
        missing = torch.zeros(self.count, dtype=torch.uint8)
        for rank in range(1, self.count):
            left = timedelta(seconds=max(end - monotonic(), _LEAST_S))
            missing[rank] = not self._passed(distributed.irecv, torch.zeros(1), rank, left)
        for rank in range(1, self.count):
            if not missing[rank]:
                self._passed(distributed.isend, missing, rank, patience)
        return missing.nonzero().reshape(-1).tolist()

    def _missing_by_first(self, patience: timedelta) -> list[int]:
        """The same on another rank, as rank 0 says, which may come as late as the last rank and then waits itself."""
        missing = torch.zeros(self.count, dtype=torch.uint8)
        came = self._passed(distributed.isend, torch.zeros(1), 0, patience)
        if not came or not self._passed(distributed.irecv, missing, 0, 2 * patience):
            return [0]
        return missing.nonzero().reshape(-1).tolist()

    def _passed(self, send: Callable[..., Any], values: Tensor, rank: int, patience: timedelta) -> bool:
        """Send numbers to a rank, or receive them from it; whether that came to its end in time."""
        try:
            send(values, rank, group=self._group).wait(patience)
        except RuntimeError:
            return False
        return True

    def _connect(self) -> Any:
        if not distributed.is_gloo_available():
            raise RuntimeError("recording in a process group needs the backend gloo, which this build of torch lacks")
        try:
            return distributed.new_group(backend="gloo", timeout=self._timeout)
        except RuntimeError as error:
            raise RuntimeError(
                f"not all of the {self.count} ranks made a TraceRecorder within {self._timeout}; in a process group every rank must"
            ) from error

    def _tick(self) -> None:
        self._signal(going_on=True)

    def _signal(self, *, going_on: bool) -> bool:
        """Tell all ranks what rank 0 says; rank 0 goes on without the others where they are gone."""
        said = torch.tensor([int(going_on)])
        if self._others_listen:
            try:
                distributed.broadcast(said, src=0, group=self._group)
            except RuntimeError:
                if self.rank:
                    raise
                self._others_listen = False
        return bool(said.item())


class InStep:
    """Batches of a rank, and a spare one again while another rank has more, since sharded models run on all ranks at once.

    `own` counts those of the rank so far. A rank that cannot read its batches is a RuntimeError on all others.
    """

    def __init__(self, batches: Iterable[Any], spare: Callable[[], Any], ranks: Ranks) -> None:
        self._batches, self._spare, self._ranks, self.own = batches, spare, ranks, 0

    def __iter__(self) -> Iterator[Any]:
        left, kept = iter(self._batches), list[Any]()

        def read() -> bool:
            kept[:] = islice(left, 1)
            return bool(kept)

        while any(self._ranks.each("reading samples", read)):
            self.own += len(kept)
            yield kept[0] if kept else self._spare()


@contextmanager
def buffers_of_first(model: nn.Module, ranks: Ranks) -> Iterator[None]:
    """Give the model the buffers of rank 0, such as running means, as DistributedDataParallel does at each step; own ones after."""
    own: dict[Tensor, Tensor] = {}
    if ranks.count > 1:
        buffers = [one for one in model.buffers() if not hasattr(one, "to_local")]
        first = ranks.gather(
            [one.detach().cpu() for one in buffers] if ranks.rank == 0 else None, "exchanging buffers"
        )[0]
        own = {one: one.detach().clone() for one in buffers}
        with torch.no_grad():
            for one, values in zip(buffers, first or [], strict=True):
                one.copy_(values)
    try:
        yield
    finally:
        with torch.no_grad():
            for one, values in own.items():
                one.copy_(values)


def in_group() -> bool:
    """Whether this process belongs to a process group of torch.distributed."""
    return distributed.is_available() and distributed.is_initialized()


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP holds parts of the parameters on other ranks, so that a forward pass needs all of them."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # which takes a second to load, and has been if it is used
    kinds = tuple(getattr(fsdp, name) for name in ("FullyShardedDataParallel", "FSDPModule") if hasattr(fsdp, name))
    return bool(kinds) and in_group() and any(isinstance(module, kinds) for module in model.modules())


def _timeout() -> timedelta:
    """The timeout of the default group, of which torch tells in no public way; where it cannot be found, that of gloo."""
    group: Any = distributed.group.WORLD
    try:
        found = group._get_backend(group._device_types[0]).options._timeout  # noqa: SLF001  no public way
    except (AttributeError, IndexError, RuntimeError):
        found = None
    return found if isinstance(found, timedelta) else timedelta(minutes=30)
