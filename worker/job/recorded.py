"""A training that was recorded elsewhere, played back checkpoint by checkpoint as if it had just been run."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.dataset import Recording
from service.domain.errors import FieldError, Invalid
from service.domain.specs import JobSpec
from worker.data.decode import Canonical
from worker.data.glitches import plant
from worker.data.partition import draw_columns, partition
from worker.influence.activations import ActivationSource, Trace, allocate
from worker.job.preparation import JobSamples
from worker.training.loop import checkpoints


@dataclass(frozen=True)
class OpenedRecording:
    """What is ranked, the tapes of the training part and of a reference of its own, and the epochs on them."""

    samples: JobSamples
    train: ActivationSource
    known: ActivationSource | None
    epochs: list[int]


def open_recording(spec: JobSpec, dataset: Canonical, scratch: Path) -> OpenedRecording:
    """Split the recorded samples and open the tapes. Raises Invalid for what a client can mend."""
    recording = _recording(dataset)
    check_classes(dataset, f"logits_{recording.epochs[-1]}", "the recorded model", "train and record again")
    samples = unmodified_samples(spec, dataset)
    places = [place - 1 for place in checkpoints(spec.training)]
    train = RecordedActivations(dataset, samples.rows, recording, places, scratch)
    known = None
    if samples.columns is None:
        known = RecordedActivations(dataset, samples.reference_rows, recording, places, scratch / "reference")
    return OpenedRecording(samples, train, known, [recording.epochs[place] for place in places])


def unmodified_samples(spec: JobSpec, dataset: Canonical) -> JobSamples:
    """Split the samples, of which nothing is encoded and in which nothing is planted. Raises Invalid."""
    part = partition(dataset.ids, dataset.splits, dataset.labels, spec.reference, spec.training.seed)
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
    )


def check_classes(dataset: Canonical, column: str, who: str, advice: str) -> None:
    """Raise Invalid for a class that a column of `who` knows nothing of: a corrected dataset may have one."""
    known = dataset.width(column)
    strange = dataset.header.classes[known:]
    if strange:
        message = f"{who} knows {known} classes and not {', '.join(strange[:20])}; {advice}"
        raise Invalid(message, errors=[FieldError(loc=["dataset"], msg=message)])


def read_vectors(target: Float[Tensor, "n e"], dataset: Canonical, column: str, rows: Int[Tensor, " n"]) -> None:
    """Read the vectors of some rows."""
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
        self.trace = Trace(activations.expand(len(places), -1, -1), logits, tuple(rates))

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Fill the trace's row of a checkpoint. Where nothing was recorded of the layer before, the last one's input."""
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
