"""The batches that each rank runs: those of a single process, so that every row is computed in the same batch to the same bits."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset


@dataclass(frozen=True)
class BatchShare:
    """Batches that a rank runs; `start` is the number of their first sample, 0 where only reading all before would tell."""

    batches: Iterable[Any]
    start: int = 0


def share_of(batches: Iterable[Any], rank: int, count: int) -> BatchShare:
    """One of `count` shares of batches in a fixed order: so many consecutive ones each, the first shares one more.

    Only the batches of the share are read, unless they come from a stream.
    """
    if count == 1:
        return BatchShare(batches)
    if type(batches) is DataLoader and not isinstance(batches.dataset, IterableDataset):
        return _share_of_loader(batches, rank, count)
    if isinstance(batches, list):
        begin, end = _bounds(len(batches), rank, count)
        return BatchShare(batches[begin:end])
    return BatchShare(_Middle(batches, *_bounds(sum(1 for _ in batches), rank, count)))


def is_of_rank(loader: DataLoader[Any]) -> bool:
    """Whether a loader gives each rank other samples of its dataset, by a DistributedSampler."""
    batches: Any = loader.batch_sampler
    sampler = batches.sampler if type(batches) is BatchSampler else loader.sampler
    return isinstance(sampler, DistributedSampler) and sampler.dataset is loader.dataset


def in_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The same loader over all samples in the order of the dataset."""
    places = range(len(loader.dataset))  # type: ignore[arg-type]  # a sampler of ranks needs a length
    size = loader.batch_size
    return _with(loader, places if size is None else BatchSampler(places, size, drop_last=False))


def first_digest(batch: Any) -> str:
    """SHA-256 of the numbers and texts of a batch."""
    digest = hashlib.sha256()
    for leaf in _leaves(batch):
        if isinstance(leaf, Tensor):
            plain = leaf.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{leaf.dtype} {tuple(leaf.shape)}".encode() + plain.view(torch.uint8).numpy().tobytes())
        elif isinstance(leaf, np.ndarray):
            digest.update(f"{leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
        elif isinstance(leaf, str | int | float):
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def joined_ids(ids: Sequence[Sequence[Any]]) -> tuple[list[Any], list[npt.NDArray[np.bool_]]]:
    """Ids of all ranks, those of rank 0 first and each once, and which samples of each rank these are."""
    known: set[str] = set()
    joined: list[Any] = []
    kept = []
    for own in ids:
        new = np.array([str(one) not in known for one in own], np.bool_)
        known.update(map(str, own))
        joined += [one for one, is_new in zip(own, new, strict=True) if is_new]
        kept.append(new)
    return joined, kept


class _Middle:
    """Some consecutive batches of a stream that can be run through again and again."""

    def __init__(self, batches: Iterable[Any], begin: int, end: int) -> None:
        self._batches, self._begin, self._end = batches, begin, end

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._batches), self._begin, self._end)


def _bounds(total: int, rank: int, count: int) -> tuple[int, int]:
    """First and last batch, excluded, of a share."""
    each, more = divmod(total, count)
    begin = rank * each + min(rank, more)
    return begin, begin + each + (rank < more)


def _share_of_loader(loader: DataLoader[Any], rank: int, count: int) -> BatchShare:
    """A share of a loader that gives all samples of its dataset in order; `early_checks` refuses others."""
    samples = len(loader.dataset)  # type: ignore[arg-type]  # a dataset that is not iterable has a length
    batches: Any = loader.batch_sampler
    if batches is None:  # the dataset gives whole batches
        return BatchShare(_with(loader, range(*_bounds(samples, rank, count))))
    if type(batches) is BatchSampler:
        size = batches.batch_size
        begin, end = (min(samples, bound * size) for bound in _bounds(-(-samples // size), rank, count))
        return BatchShare(_with(loader, BatchSampler(range(begin, end), size, drop_last=False)), begin)
    given = list(batches)
    begin, end = _bounds(len(given), rank, count)
    return BatchShare(_with(loader, given[begin:end]), sum(map(len, given[:begin])))


def _with(loader: DataLoader[Any], places: Any) -> DataLoader[Any]:
    """A loader like another one, of other places: of batches, or of single items where it makes no batches."""
    options: dict[str, Any] = {
        name: getattr(loader, name)
        for name in ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator")
    }
    if loader.num_workers:
        options |= {name: getattr(loader, name) for name in ("prefetch_factor", "multiprocessing_context")}
    options |= {"batch_size": None, "sampler": places} if loader.batch_sampler is None else {"batch_sampler": places}
    return DataLoader(loader.dataset, **options)


def _leaves(batch: Any) -> Iterator[Any]:
    if isinstance(batch, Mapping):
        for name, part in batch.items():
            yield from (name, *_leaves(part))
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _leaves(part)
    else:
        yield batch
