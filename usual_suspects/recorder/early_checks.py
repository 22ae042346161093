"""Checks of samples, labels and names before a training, so that the service does not refuse the recording after it.

What the service would refuse raises ValueError, which says what to give instead; weights that layers share are warned of.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

# The limits of the service, which reads the file.
MOST_CLASSES = 10_000
MOST_EPOCHS = 6_666
LARGEST_NUMBER = 1e12
SLOWEST_RATE, FASTEST_RATE = 1e-30, 1e6
_LONGEST_NAMES = 15 * 2**20  # bytes of the header, of which 1 MiB is left to the arrays

_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
_IN_ORDER = (
    "the samples must come in the order of the dataset, each once: give the dataset itself, or a DataLoader with "
    "shuffle=False, no sampler and drop_last=False (for some of the samples torch.utils.data.Subset(dataset, indices))"
)


def check_source(data: Any, name: str) -> None:
    """Refuse data that cannot be run through twice, and a DataLoader that shuffles, samples or loses samples."""
    once = isinstance(data, Iterator)
    if once:
        raise ValueError(f"{name} can be run through only once; give a Dataset, a DataLoader or a list of batches")
    batches: Any = getattr(data, "batch_sampler", None)
    plain = type(batches) is BatchSampler
    sampler: Any = batches.sampler if plain else getattr(data, "sampler", None)
    shuffled = isinstance(sampler, _SHUFFLING)
    if shuffled:
        raise ValueError(f"{name} is shuffled by its {type(sampler).__name__}; {_IN_ORDER}")
    if not isinstance(data, DataLoader):
        return
    if not isinstance(data.dataset, IterableDataset):
        _check_places(data, batches if not plain and batches is not None else None, sampler, name)
    elif data.drop_last:
        raise ValueError(f"{name} has drop_last=True, which may lose samples; {_IN_ORDER}")


def _check_places(loader: DataLoader[Any], own_batches: Any, sampler: Any, name: str) -> None:
    """Refuse a loader that does not give each sample of its dataset once, in order. `own_batches`: of the caller's class."""
    samples = len(loader.dataset)  # type: ignore[arg-type]  # a dataset that is not iterable has a length
    batches: Any = loader.batch_sampler
    if own_batches is None and batches is not None and batches.drop_last and len(sampler) == samples:
        lost = samples % batches.batch_size
        if lost:
            raise ValueError(f"{name} has drop_last=True and loses {lost:,} of its {samples:,} samples; {_IN_ORDER}")
    if own_batches is None and isinstance(sampler, SequentialSampler) and len(sampler) == samples:
        return
    given = iter(sampler) if batches is None else (place for batch in batches for place in batch)
    places = list(islice(given, samples + 1))  # a sampler may be endless
    if places != list(range(samples)):
        which = type(sampler if own_batches is None else own_batches).__name__
        raise ValueError(
            f"{name} has a {which} that gives {len(places):,} of its {samples:,} samples, or another order; {_IN_ORDER}"
        )


def class_numbers(labels: Any, classes: int, name: str = "labels", *, start: int = 0) -> Tensor:
    """Labels of a batch as int64 of shape (n,), each from 0 to `classes` - 1; `start` is the number of the first sample.

    Floats and bools are taken where they are whole. Soft labels, one-hot rows and names are refused, and never cut.
    """
    try:
        given = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} are no numbers ({type(labels).__name__}); give the number of each sample's class, 0 to {classes - 1}, "
            "and the names as classes="
        ) from error
    if given.dim() > 1 and given.numel() != len(given):
        raise ValueError(
            f"{name} of a batch have the shape {tuple(given.shape)}; one class number a sample is expected. Of one-hot "
            "rows give labels.argmax(1)"
        )
    flat = given.reshape(-1)
    wrong = (flat != flat.round()) if flat.is_floating_point() else torch.zeros_like(flat, dtype=torch.bool)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name}, sample {start + row}: {float(flat[row]):g} is no class number; soft labels are not supported, give "
            f"each sample one of 0 to {classes - 1}"
        )
    numbers = flat.long()
    outside = (numbers < 0) | (numbers >= classes)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"{name}, sample {start + row}: {int(numbers[row])} is no class of the model, whose outputs tell {classes} "
            f"apart: 0 to {classes - 1}; leave such samples out, or number the classes so"
        )
    return numbers


def warn_of_shared_weights(model: nn.Module, head: nn.Linear) -> None:
    """Warn of parameters of the last layer that another layer has too: influence is of their use in the last layer."""
    own = set(head.parameters())
    for name, layer in model.named_modules():
        if layer is not head and not own.isdisjoint(layer.parameters(recurse=False)):
            message = f"layer {name} shares parameters with the last layer; influence counts their use in the last layer alone"
            warnings.warn(message, UserWarning, stacklevel=3)


def warn_of_frozen_head(head: nn.Linear) -> None:
    """Warn of a last layer that no step changes, whose influence the training did not have."""
    own = [*head.parameters()]  # none where FSDP has made them a part of a flat parameter
    if own and not any(one.requires_grad for one in own):
        message = (
            "the last layer has requires_grad=False, so no step of the training changes it; what is recorded is the influence "
            "that its steps would have had"
        )
        warnings.warn(message, UserWarning, stacklevel=3)


def first_unusable(*arrays: Tensor) -> int | None:
    """The first row of arrays of n rows that has a number that is not finite, or larger than the service reads; None if there is none."""
    bad = [(array.abs() <= LARGEST_NUMBER).logical_not().reshape(len(array), -1).any(1) for array in arrays]
    rows = torch.stack(bad).any(0).nonzero()
    return int(rows[0]) if len(rows) else None


def check_classes(names: Sequence[str] | None, classes: int) -> None:
    """Refuse more classes than a dataset may have, and names that are not one for each class."""
    if classes > MOST_CLASSES:
        raise ValueError(f"the model tells {classes:,} classes apart; the service takes {MOST_CLASSES:,} at most")
    if names is None:
        return
    if len(names) != classes:
        raise ValueError(
            f"classes= has {len(names)} names for {classes} classes; give one for each, in the order of the logits"
        )
    _check_texts([str(name).strip() for name in names], "classes=")


def check_ids(ids: Mapping[str, Sequence[Any] | None], counts: Mapping[str, int | None]) -> None:
    """Refuse ids that are not one for each sample and another for each; keys are the prefixes of the parts.

    `counts`: the number of samples of each part; None where it is not known yet.
    """
    given = {prefix: ids.get(prefix) for prefix in counts}
    for prefix, held in ids.items():
        if held is not None and prefix not in counts:
            raise ValueError(f"{prefix}ids= names samples of a reference, and there is none; give reference=")
    if any(held is not None for held in given.values()):
        missing = next((prefix for prefix, held in given.items() if held is None), None)
        if missing is not None:
            raise ValueError(f"{missing}ids= is missing: the ids of both parts are needed, or of none")
    for prefix, held in given.items():
        count = counts[prefix]
        if held is not None and count is not None and len(held) != count:
            raise ValueError(f"{prefix}ids= has {len(held):,} entries for {count:,} samples; give one for each")
    _check_texts([str(one) for held in given.values() for one in held or ()], "ids=")


def check_header(names: Mapping[str, Sequence[Any] | None]) -> None:
    """Refuse more names than the header of the file may hold."""
    size = len(json.dumps(metadata_of(names)))
    if size > _LONGEST_NAMES:
        raise ValueError(
            f"ids and class names take {size:,} bytes of the file's header, of which it has {_LONGEST_NAMES:,} for them; "
            "give shorter ids, whole numbers (they are stored as an array), or none: samples are then called row-0, row-1, …"
        )


def metadata_of(names: Mapping[str, Sequence[Any] | None]) -> dict[str, str]:
    """Lists of names as metadata of a safetensors file; ids that are whole numbers are no metadata."""
    return {
        name: json.dumps([str(one) for one in values])
        for name, values in names.items()
        if values is not None and not are_numbers(name, values)
    }


def are_numbers(name: str, values: Sequence[Any]) -> bool:
    """Whether a list is one of ids that are all whole numbers, which an array holds."""
    return name != "classes" and all(type(one) is int and abs(one) < 2**63 for one in values)


def _check_texts(texts: Iterable[str], name: str) -> None:
    counts = Counter(texts)
    twice = next((text for text, count in counts.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{name} must differ, but {twice!r} is there {counts[twice]} times")
    for text in counts:
        if not text or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{name}: {text!r} is empty, or has a NUL character or half of a surrogate pair")
