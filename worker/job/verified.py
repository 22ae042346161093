"""The reference of a job that people have verified since: reviewed samples, which the job has trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from service.domain.review import Review
from service.domain.specs import JobSpec
from worker.data.canonical import Canonical
from worker.job.preparation import JobSamples, PreparedJob

Samples = TypeVar("Samples", bound=JobSamples)


@dataclass(frozen=True)
class VerifiedLabels:
    """Rows of the canonical file of the job's dataset, ascending, and the numbers of the classes that people say they have."""

    rows: Int[Tensor, " v"]
    labels: Int[Tensor, " v"]


def verified_labels(
    samples: JobSamples, dataset: Canonical, held: Mapping[str, Review], confirmed: frozenset[str]
) -> VerifiedLabels:
    """The labels that hold by the latest reviews, kept and relabelled ones, and those `confirmed` before the job, by sample id."""
    numbers = {name: number for number, name in enumerate(samples.classes)}
    # A planted error is what reviewers saw.
    given = dataset.labels.clone()
    given[samples.rows] = samples.planted.labels
    found: list[tuple[int, int]] = []
    for row, name in enumerate(dataset.ids):
        label = samples.classes[int(given[row])]
        right = held[name].right_label(label) if name in held else label if name in confirmed else None
        if right in numbers:
            found.append((row, numbers[right]))
    rows, labels = torch.tensor(found, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return VerifiedLabels(rows.contiguous(), labels.contiguous())


def with_verified(samples: Samples, spec: JobSpec, verified: VerifiedLabels, *, own_dataset: bool = True) -> Samples:
    """The samples with these as trusted reference, beside the job's own reference if people had verified that.

    Verified samples stay training samples, too, and are not compared with themselves. Of those that are neither training nor
    reference samples nothing was computed: they are left out. `own_dataset`: the reference is part of the job's dataset.
    """
    inside = _places(samples.rows, verified.rows)
    is_training = inside >= 0
    training_rows, labels = inside[is_training], verified.labels[is_training]
    kept, kept_labels = _kept(samples, spec, verified, own_dataset)
    rows = torch.cat([samples.reference_rows[kept], samples.rows[training_rows]])
    # Rows of one file are read in their order; those of two are not read again.
    order = rows.argsort(stable=True) if own_dataset else torch.arange(len(rows))
    changed: dict[str, Any] = {
        "reference_rows": rows[order],
        "reference_labels": torch.cat([kept_labels, labels])[order],
        "columns": None,
        "verified_rows": torch.cat([torch.full_like(kept, -1), training_rows])[order],
    }
    if samples.groups is not None:
        groups = torch.cat([samples.groups.reference[kept], samples.groups.train[training_rows]])[order]
        changed["groups"] = replace(samples.groups, reference=groups)
    if isinstance(samples, PreparedJob):
        changed["reference_inputs"] = tuple(
            torch.cat([known[kept], part[training_rows]])[order]
            for known, part in zip(samples.reference_inputs, samples.inputs, strict=True)
        )
    return replace(samples, **changed)


def _kept(
    samples: JobSamples, spec: JobSpec, verified: VerifiedLabels, own_dataset: bool
) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Places of the reference samples that stay, and their labels."""
    if samples.columns is not None:
        nothing = torch.zeros(0, dtype=torch.int64)
        return nothing, nothing
    labels = samples.reference_labels.clone()
    reviewed = torch.zeros(len(labels), dtype=torch.bool)
    if own_dataset:
        place = _places(samples.reference_rows, verified.rows)
        reviewed[place[place >= 0]] = True
        labels[place[place >= 0]] = verified.labels[place >= 0]
    trusted = spec.reference is not None and spec.reference.is_trusted
    kept = torch.arange(len(labels)) if trusted else reviewed.nonzero().squeeze(1)
    return kept, labels[kept]


def _places(rows: Int[Tensor, " n"], wanted: Int[Tensor, " v"]) -> Int[Tensor, " v"]:
    """Places in `rows`, which ascend, -1 where there is none."""
    if not len(rows):
        return torch.full_like(wanted, -1)
    place = torch.searchsorted(rows, wanted).clamp(max=len(rows) - 1)
    return torch.where(rows[place] == wanted, place, -1)
