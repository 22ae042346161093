"""Measuring two activation sources, checkpoint by checkpoint: influence, learning dynamics and neighbours of every sample."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.signal import SIGNALS
from service.domain.specs import JobSpec
from worker.influence.activations import ActivationSource, Trace
from worker.influence.row_computations import Begin, OnShare, alone
from worker.job.on_device import OnDevice
from worker.job.preparation import JobSamples
from worker.machine.devices import CPU
from worker.signals.measurements import Answers, measure_checkpoints
from worker.signals.reference import Chosen, ReferenceSamples


@dataclass(frozen=True)
class Scored:
    """Measurements of every sample, and the traces that they were made of. `by_leaves` has the influence of trees.

    `reference` is None where the training rows serve as their own reference; `reference_accuracy` is the share of reference
    samples that the last checkpoint classifies as labelled, from 0 to 1, and None where there is no such sample.
    """

    measurements: Answers
    train: Trace
    reference: Trace | None
    reference_accuracy: float | None
    by_leaves: Chosen | None = None


def measure(
    samples: JobSamples,
    spec: JobSpec,
    train: ActivationSource,
    reference: ActivationSource | None,
    on_progress: OnShare,
    *,
    begin: Begin = alone,
    device: torch.device = CPU,
    set_to: Callable[[int], None] = lambda _t: None,
    frozen: Tensor | None = None,
    known_frozen: Tensor | None = None,
    chosen: Chosen | None = None,
    out_of_bag: Tensor | None = None,
    by_trees: Tensor | None = None,
) -> Scored:
    """Measure every checkpoint of two activation sources; `set_to(t)` is called before checkpoint t is read.

    `reference` is None where the training rows serve as their own reference. `frozen` are inputs that no checkpoint changes,
    [n, d], and `known_frozen` those of the reference, [m, d]; `chosen` has the gradients of other layers than the last, or of
    trees, which also have `out_of_bag` probabilities [n, c]; `by_trees` are probabilities [n, c] by trees beside a network. What can be is computed
    on `device`; `begin` begins what others may share.
    """

    def read(t: int, inner: bool) -> tuple[Tensor | None, Tensor | None]:
        set_to(t)
        values = train.read_checkpoint(t, inner=inner)
        return values, None if reference is None else reference.read_checkpoint(t, inner=inner)

    measured = measure_checkpoints(
        train.trace,
        samples.planted.labels,
        _reference(samples, spec, train.trace if reference is None else reference.trace),
        len(samples.classes),
        spec.training.seed,
        read,
        embeddings=frozen,
        known_embeddings=known_frozen,
        chosen=chosen,
        groups=samples.groups,
        out_of_bag=out_of_bag,
        by_trees=by_trees,
        relabelled=any(SIGNALS[name].relabelled for name in spec.signals),
        precision=spec.influence.precision,
        begin=begin if device == CPU else OnDevice(device, begin).begin,
        device=device,
        on_progress=on_progress,
    )
    if reference is None:
        return Scored(measured, train.trace, None, None)
    return Scored(
        measured, train.trace, reference.trace, accuracy(reference.trace.logits[-1], samples.reference_labels)
    )


def accuracy(logits: Tensor, labels: Tensor) -> float | None:
    """Share of the samples whose label has the largest of its logits [n, c], from 0 to 1; None without samples."""
    return float((logits.argmax(1) == labels).double().mean()) if len(labels) else None


def _reference(samples: JobSamples, spec: JobSpec, trace: Trace) -> ReferenceSamples:
    if samples.columns is not None:
        rows, labels = samples.columns.rows, samples.planted.labels
        return ReferenceSamples(trace, labels[rows], columns=rows, weights=samples.columns.weights)
    return ReferenceSamples(
        trace, samples.reference_labels, trusted=samples.is_trusted(spec), training_rows=samples.verified_rows
    )
