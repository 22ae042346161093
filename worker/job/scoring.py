"""Scoring: influence, learning dynamics and neighbours of every sample, measured checkpoint by checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from service.domain.specs import JobSpec
from worker.influence.activations import ActivationRecorder, ActivationSource, Trace
from worker.influence.gradient_sources import CheckpointedModel, ChosenLayerGradients
from worker.job.preparation import JobSamples, PreparedJob
from worker.models import head
from worker.signals.measurements import Answers, measure_checkpoints
from worker.signals.reference import Chosen, ReferenceSamples


@dataclass(frozen=True)
class Scored:
    """Measurements of every sample, and the traces that they were made of.

    `reference` is None where the training rows serve as their own reference; `reference_accuracy` is the share of reference
    samples that the last checkpoint classifies as labelled, from 0 to 1, and None where there is no such sample.
    """

    measurements: Answers
    train: Trace
    reference: Trace | None
    reference_accuracy: float | None


def score(
    prepared: PreparedJob,
    spec: JobSpec,
    rates: Sequence[float],
    load: Callable[[int], dict[str, Tensor]],
    scratch: Path,
    on_progress: Callable[[float], None],
) -> Scored:
    """Measure checkpoint after checkpoint, then every pair.

    `load(t)` gives the parameters of checkpoint t, which had the learning rate `rates[t]`. `on_progress` gets the share done,
    from 0 to 1, after each checkpoint. Activations and logits are written to `scratch`.
    """
    model, last = prepared.model, head(prepared.model)
    train = ActivationRecorder(model, last, prepared.inputs, rates, scratch)
    reference = None
    if prepared.columns is None:
        reference = ActivationRecorder(model, last, prepared.reference_inputs, rates, scratch / "reference")

    def set_to(t: int) -> None:
        model.load_state_dict(load(t))
        if prepared.network is not None:
            prepared.network.add_checkpoint(model.state_dict())

    chosen = None if prepared.network is None else _chosen(prepared.network, prepared)
    return measure(
        prepared,
        spec,
        train,
        reference,
        on_progress,
        set_to=set_to,
        frozen=prepared.frozen,
        known_frozen=None if prepared.frozen is None or reference is None else prepared.reference_inputs[0],
        chosen=chosen,
    )


def measure(
    samples: JobSamples,
    spec: JobSpec,
    train: ActivationSource,
    reference: ActivationSource | None,
    on_progress: Callable[[float], None],
    *,
    set_to: Callable[[int], None] = lambda _t: None,
    frozen: Tensor | None = None,
    known_frozen: Tensor | None = None,
    chosen: Chosen | None = None,
) -> Scored:
    """Measure every checkpoint of two activation sources; `set_to(t)` is called before checkpoint t is read.

    `reference` is None where the training rows serve as their own reference. `frozen` are inputs that no checkpoint changes,
    [n, d], and `known_frozen` those of the reference, [m, d]; `chosen` has the gradients of other layers than the last.
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


def _chosen(network: CheckpointedModel, prepared: PreparedJob) -> Chosen:
    train = ChosenLayerGradients(network, prepared.inputs)
    if prepared.columns is None:
        reference = ChosenLayerGradients(network, prepared.reference_inputs)
        return Chosen(train, reference, reference)
    return Chosen(train, None, ChosenLayerGradients(network, [part[prepared.columns.rows] for part in prepared.inputs]))
