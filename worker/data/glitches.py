"""Planted errors: known ones in the training part, by which a job measures how well each signal finds them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from service.domain.errors import Invalid
from service.domain.specs import Glitch
from worker.data.anomalies import EncodedSamples, extreme, far_clustered, far_scattered, near_clustered, shuffled
from worker.data.mislabels import MISLABELS

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class PlantedData:
    """Inputs and labels after planting; `kinds` names the glitch of each touched row, None elsewhere."""

    inputs: Inputs
    labels: Int[Tensor, " n"]
    touched: Bool[Tensor, " n"]
    kinds: tuple[str | None, ...]


def plant(inputs: Inputs, labels: Int[Tensor, " n"], classes: int, glitches: Sequence[Glitch]) -> PlantedData:
    """Apply every glitch in order, each to rows that no earlier one touched; equal seeds plant equal errors.

    `inputs` are n rows each, `labels` class numbers below `classes`; neither is changed. A glitch touches
    round(rate * n) rows. Raises Invalid where fewer rows are left than the rates ask for.
    """
    samples = EncodedSamples(inputs, labels, classes)
    kinds: list[str | None] = [None] * len(labels)
    for glitch in glitches:
        free = torch.tensor([row for row, kind in enumerate(kinds) if kind is None], dtype=torch.int64)
        wanted = round(glitch.rate * len(labels))
        if wanted > len(free):
            raise Invalid(f"glitches touch more than the {len(labels)} samples of the training part; lower their rates")
        generator = torch.Generator().manual_seed(glitch.seed)
        order = free[torch.randperm(len(free), generator=generator)]
        rows = order[:wanted]
        if wanted and glitch.kind in MISLABELS:
            rows, wrong = MISLABELS[glitch.kind](samples, order, wanted, generator)
            samples = samples.labelled(rows, wrong)
        elif wanted:
            samples = _CHANGES[glitch.kind](samples, rows, order[wanted:], generator)
        for row in rows.tolist():
            kinds[row] = glitch.kind
    touched = torch.tensor([kind is not None for kind in kinds], dtype=torch.bool)
    return PlantedData(samples.inputs, samples.labels, touched, tuple(kinds))


Rows = Int[Tensor, " _"]
Plant = Callable[[EncodedSamples, Rows, Rows, torch.Generator], EncodedSamples]


def _duplicate(samples: EncodedSamples, rows: Rows, rest: Rows, generator: torch.Generator) -> EncodedSamples:
    copied = _sources(rows, rest, generator)
    return samples.with_rows(rows, [part[copied] for part in samples.inputs]).labelled(rows, samples.labels[copied])


def _duplicate_relabeled(samples: EncodedSamples, rows: Rows, rest: Rows, generator: torch.Generator) -> EncodedSamples:
    same = _duplicate(samples, rows, rest, generator)
    return same.labelled(*MISLABELS["mislabeled_uniform"](same, rows, len(rows), generator))


def _sources(rows: Rows, rest: Rows, generator: torch.Generator) -> Rows:
    if len(rest) == 0:
        raise Invalid("glitches leave no sample untouched that could be duplicated; lower their rates")
    return rest[torch.randint(0, len(rest), (len(rows),), generator=generator)]


_CHANGES: dict[str, Plant] = {
    "anomalous_far_clustered": far_clustered,
    "anomalous_far_scattered": far_scattered,
    "anomalous_near_clustered": near_clustered,
    "anomalous_shuffled": shuffled,
    "anomalous_extreme": extreme,
    "duplicate": _duplicate,
    "duplicate_relabeled": _duplicate_relabeled,
}

KINDS = (*MISLABELS, *_CHANGES)
