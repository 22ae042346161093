"""Activations and logits of a training that was recorded elsewhere, read checkpoint by checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.dataset import Recording
from service.domain.errors import FieldError, Invalid
from service.domain.specs import JobSpec
from worker.data.canonical import Canonical
from worker.data.glitches import plant
from worker.data.group_numbers import sample_groups
from worker.data.partition import draw_columns
from worker.influence.activations import ActivationSource, Trace, allocate
from worker.job.preparation import JobSamples, split_samples
from worker.training.loop import checkpoints


@dataclass(frozen=True)
class OpenedRecording:
    """The samples to be ranked, their recorded activations and those of the reference, and the epochs of the checkpoints.

    `reference` is None where the training rows serve as their own reference.
    """

    samples: JobSamples
    train: ActivationSource
    reference: ActivationSource | None
    epochs: list[int]


def open_recording(
    spec: JobSpec,
    dataset: Canonical,
    scratch: Path,
    change: Callable[[JobSamples], JobSamples] = lambda samples: samples,
) -> OpenedRecording:
    """Split the recorded samples and open their arrays. Raises Invalid for what the client can correct.

    `change` gives the samples another reference.
    """
    recording = _recording(dataset)
    check_classes(dataset, f"logits_{recording.epochs[-1]}", "the recorded model", "train and record again")
    samples = change(unmodified_samples(spec, dataset))
    places = [place - 1 for place in checkpoints(spec.training)]
    train = RecordedActivations(dataset, samples.rows, recording, places, scratch)
    reference = None
    if samples.columns is None:
        reference = RecordedActivations(dataset, samples.reference_rows, recording, places, scratch / "reference")
    return OpenedRecording(samples, train, reference, [recording.epochs[place] for place in places])


def unmodified_samples(spec: JobSpec, dataset: Canonical) -> JobSamples:
    """Split the samples without encoding inputs or planting errors. Raises Invalid for a reference that cannot be had."""
    part = split_samples(spec, dataset)
    labels = dataset.labels[part.train]
    own = spec.reference is None
    return JobSamples(
        rows=part.train,
        planted=plant((), labels, len(dataset.header.classes), []),
        original=labels,
        reference_rows=part.reference,
        reference_labels=dataset.labels[part.reference],
        columns=draw_columns(labels, spec.influence.columns, spec.training.seed) if own else None,
        classes=dataset.header.classes,
        groups=sample_groups(dataset, part.train, dataset, part.reference),
    )


def check_classes(dataset: Canonical, column: str, model: str, advice: str) -> None:
    """Raise Invalid for classes that `model`, which gave the column, does not know: a corrected dataset may have some."""
    known = dataset.width(column)
    unknown = dataset.header.classes[known:]
    if unknown:
        message = f"{model} knows {known} classes and not {', '.join(unknown[:20])}; {advice}"
        raise Invalid(message, errors=[FieldError(loc=["dataset"], msg=message)])


def read_vectors(target: Float[Tensor, "n e"], dataset: Canonical, column: str, rows: Int[Tensor, " n"]) -> None:
    """Read the vectors of `rows`, which ascend, from a column of the canonical file into `target`."""
    done = 0
    for batch in dataset.batches([column], rows):
        values = batch.column(0)
        flat = torch.from_numpy(values.flatten().to_numpy(zero_copy_only=False).copy())
        target[done : done + len(values)] = flat.reshape(len(values), -1)
        done += len(values)


class RecordedActivations:
    """Reads the recorded arrays of some rows, one checkpoint at a time; stores them where ActivationRecorder does."""

    def __init__(
        self, dataset: Canonical, rows: Int[Tensor, " n"], recording: Recording, places: list[int], scratch: Path
    ) -> None:
        self._dataset, self._rows, self._shared = dataset, rows, recording.shared
        self._epochs = [recording.epochs[place] for place in places]
        self._widths = {one["column"]: dataset.width(one["column"]) for one in dataset.header.features}
        rates = [recording.learning_rates[place] for place in places]
        kept = 1 if self._shared else len(places)
        activations = allocate(scratch / "activations.f4", (kept, len(rows), recording.width))
        logits = allocate(scratch / "logits.f4", (len(places), len(rows), len(dataset.header.classes)))
        self.trace = Trace(activations.expand(len(places), -1, -1), logits, tuple(rates), recording.bias)

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Read checkpoint t into the trace; with `inner` give what enters the layer before the last.

        Where the recording lacks that, what enters the last layer stands for it.
        """
        epoch = self._epochs[t]
        self._read(f"logits_{epoch}", self.trace.logits[t])
        if not self._shared:
            self._read(f"activations_{epoch}", self.trace.activations[t])
        elif t == 0:
            self._read("activations", self.trace.activations[0])
        if not inner:
            return None
        name = f"inner_{epoch}"
        if name not in self._widths:
            return self.trace.activations[t]
        entered = torch.empty(len(self._rows), self._widths[name])
        self._read(name, entered)
        return entered

    def _read(self, column: str, target: Float[Tensor, "n e"]) -> None:
        read_vectors(target, self._dataset, column, self._rows)


def _recording(dataset: Canonical) -> Recording:
    if dataset.header.recording is None:
        raise ValueError(f"{dataset.path} holds no recorded training")
    return dataset.header.recording
