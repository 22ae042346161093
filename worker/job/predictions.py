"""Out-of-sample predictions, scored as one checkpoint: no training is run or followed.

With features, the checkpoint is that of a linear layer which the features enter and which gives these predictions: logits
are the logarithms of the probabilities, and influence is that of one step of learning rate 1. Without features there is
neither influence nor a neighbour, and the predictions alone are scored.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.specs import JobSpec
from worker.data.canonical import Canonical
from worker.data.standard import Doubles, Standard
from worker.influence.activations import Trace, allocate
from worker.job.measuring import Scored, accuracy, measure
from worker.job.preparation import JobSamples
from worker.job.recorded import check_classes, read_vectors, unmodified_samples
from worker.signals.dynamics import learning_dynamics
from worker.signals.measurements import Answers, Unseen

NO_EPOCH = 0  # stands for the epoch of the one checkpoint
_RATE = 1.0
_BATCH = 8_192


class GivenActivations:
    """Activations of one checkpoint, which the trace holds already. The features also enter the layer before the last."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Float[Tensor, "n d"] | None:
        """Give the features with `inner`; the trace is filled already."""
        return self.trace.activations[t] if inner else None


def measure_predictions(
    spec: JobSpec,
    dataset: Canonical,
    scratch: Path,
    on_progress: Callable[[float], None],
    change: Callable[[JobSamples], JobSamples] = lambda samples: samples,
) -> tuple[JobSamples, Scored]:
    """Split the samples and score their predictions. Raises Invalid for what the client can correct.

    `on_progress` gets the share done, from 0 to 1. `change` gives the samples another reference.
    """
    check_classes(dataset, "pred_probs", "the model of these predictions", "train and predict again")
    samples = change(unmodified_samples(spec, dataset))
    standard = _standard(dataset, samples.rows) if "features" in _columns(dataset) else None
    train = _trace(dataset, samples.rows, standard, scratch)
    reference = _trace(dataset, samples.reference_rows, standard, scratch / "reference")
    scored = _scored(samples, spec, train, None if samples.columns is not None else reference, on_progress)
    measured = scored.measurements
    unseen = _unseen(spec, samples, measured.dynamics.mean, reference)
    return samples, replace(scored, measurements=replace(measured, unseen=unseen))


def _scored(
    samples: JobSamples, spec: JobSpec, train: Trace, reference: Trace | None, on_progress: Callable[[float], None]
) -> Scored:
    if train.activations.shape[2]:
        return measure(
            samples,
            spec,
            GivenActivations(train),
            None if reference is None else GivenActivations(reference),
            on_progress,
        )
    dynamics = learning_dynamics(train.logits, samples.planted.labels)
    right = None if reference is None else accuracy(reference.logits[0], samples.reference_labels)
    return Scored(Answers(labels=samples.planted.labels, dynamics=dynamics), train, reference, right)


def _columns(dataset: Canonical) -> set[str]:
    return {one["column"] for one in dataset.header.features}


def _unseen(spec: JobSpec, samples: JobSamples, predicted: Float[Tensor, "n c"], reference: Trace) -> Unseen:
    """The predictions of the training rows and of those reference samples that people have verified."""
    count = len(samples.reference_labels) if samples.is_trusted(spec) else 0
    return Unseen(predicted, torch.softmax(reference.logits[0, :count], 1), samples.reference_labels[:count])


def _trace(dataset: Canonical, rows: Int[Tensor, " n"], standard: Standard | None, scratch: Path) -> Trace:
    logits = allocate(scratch / "logits.f4", (1, len(rows), len(dataset.header.classes)))
    read_vectors(logits[0], dataset, "pred_probs", rows)
    # The logarithm of 0 is that of the smallest number, which no softmax goes below either.
    logits.clamp_(min=torch.finfo(torch.float32).tiny).log_()
    width = 0 if standard is None else standard.width
    features = allocate(scratch / "features.f4", (1, len(rows), width))
    if standard is not None:
        read_vectors(features[0], dataset, "features", rows)
        for part in torch.split(features[0], _BATCH):
            part.copy_(torch.from_numpy(standard.apply(part.double().numpy())))
    return Trace(features, logits, (_RATE,))


def _standard(dataset: Canonical, rows: Int[Tensor, " n"]) -> Standard:
    """The common scale of the features, fitted on the training rows."""

    def batches() -> Iterator[Doubles]:
        for batch in dataset.batches(["features"], rows):
            values = batch.column(0)
            flat: Doubles = values.flatten().to_numpy(zero_copy_only=False).astype("float64")
            yield flat.reshape(len(values), -1)

    return Standard.fit(batches)
