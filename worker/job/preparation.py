"""The first half of a job: canonical datasets to tensors, a model and its training.

    prepare -> fit -> score -> rank

No database, no queue; files only as scratch. Every checkpoint that `fit` reaches is handed out, and `fit` goes on from
any of them, so that a job survives its worker: the bits that come out are the same.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor, nn

from service.domain.errors import FieldError, Invalid
from service.domain.models import MODELS
from service.domain.models.tabular import BoostedTreesParams
from service.domain.specs import JobSpec
from service.store.blobs import NETWORK_FILE
from worker.backbones import BackboneContext, Encoded, Preprocessing, select_rows
from worker.backbones import encode as pretrained
from worker.data.canonical import Canonical, align_reference
from worker.data.encoding import Encoder, Inputs
from worker.data.glitches import PlantedData, plant
from worker.data.group_numbers import group_numbers, sample_groups
from worker.data.partition import Columns, Partition, draw_columns, partition
from worker.data.shape import InputShape
from worker.influence.gradient_sources import CheckpointedModel
from worker.influence.layer_gradients import UnsupportedLayer, layer_names
from worker.influence.projection import Projection
from worker.influence.tied_weights import layers_used_elsewhere
from worker.machine.devices import CPU
from worker.models import build, head
from worker.models.boosted_trees import BoostedTrees, lightgbm
from worker.models.uploaded_weights import architecture, load_state
from worker.signals.sample_groups import SampleGroups
from worker.training.boosting import grow
from worker.training.loop import EpochMetrics, TrainingState, train

_MANY_PIXELS = 2**27  # bytes; fewer are decoded anew by each job
_DECODING = 2  # to be raised when the same image becomes other pixels
_TOGETHER = 2_048


@dataclass(frozen=True)
class JobSamples:
    """Samples of a job: n training rows, which are ranked, and m reference rows.

    `rows` and `reference_rows` are rows of the canonical files of the dataset and of the reference. `original` are the labels
    before errors were planted. `columns` are the training rows that serve as reference, where there is no other. `groups` is None
    where no two samples are of one group. A planted error leaves a sample in its group, copies of other samples too. `tied`
    are the layers, of those whose gradients count, whose parameters the model uses elsewhere too. `verified_rows`: where people have
    verified the reference since, the training rows that its samples are, -1 for those that are none.
    """

    rows: Int[Tensor, " n"]
    planted: PlantedData
    original: Int[Tensor, " n"]
    reference_rows: Int[Tensor, " m"]
    reference_labels: Int[Tensor, " m"]
    columns: Columns | None
    classes: list[str]
    groups: SampleGroups | None = field(default=None, kw_only=True)
    tied: tuple[str, ...] = field(default=(), kw_only=True)
    verified_rows: Int[Tensor, " m"] | None = field(default=None, kw_only=True)

    def is_trusted(self, spec: JobSpec) -> bool:
        """Whether people have verified the labels of the reference."""
        return self.verified_rows is not None or (spec.reference is not None and spec.reference.is_trusted)


@dataclass(frozen=True)
class PreparedJob(JobSamples):
    """Samples of a job with their tensors, and the model that is trained.

    `network` has the gradients of other layers than the last, where these are asked for. `frozen` are vectors [n, d] that
    training does not change: embeddings, or outputs of a frozen backbone. `preprocessing` is to be kept for new samples. `trees`, which
    are not grown yet, answer beside the network.
    """

    inputs: Inputs
    reference_inputs: Inputs
    model: nn.Module
    network: CheckpointedModel | None
    frozen: Tensor | None
    preprocessing: Preprocessing | None
    trees: BoostedTrees | None = None


def prepare(
    spec: JobSpec,
    dataset: Canonical,
    reference: Canonical | None,
    device: torch.device = CPU,
    backbones: BackboneContext | None = None,
) -> PreparedJob:
    """Split, plant, encode and build; the model is put on `device`. Raises Invalid for what a client can mend.

    Pretrained models and uploaded weights need a BackboneContext; with one, many images are decoded once for all jobs, and not held in memory.
    """
    part = split_samples(spec, dataset)
    original = dataset.labels[part.train]
    source, rows = dataset, part.reference
    if reference is not None:
        source = align_reference(reference, dataset)
        rows = torch.arange(len(source.labels))
    serves_itself = spec.reference is None
    known = None if serves_itself else (source, rows)
    groups = sample_groups(dataset, part.train, source, rows)
    trees = None
    if MODELS[spec.model.name].has_front:
        if backbones is None:
            raise ValueError("a pretrained model needs a BackboneContext")
        encoded = pretrained(spec, dataset, part.train, known, backbones)
    else:
        encoded, shape = _encoded(spec, dataset, part.train, known, backbones)
        # Trees do not leave out a sample's group.
        trees = _trees_beside(spec, shape, len(dataset.header.classes)) if groups is None else None
    planted, model = encoded.planted, encoded.model.to(device)
    network, tied = _network(model, spec, planted)
    return PreparedJob(
        rows=part.train,
        inputs=planted.inputs,
        planted=planted,
        original=original,
        reference_rows=rows,
        reference_inputs=encoded.reference,
        reference_labels=source.labels[rows],
        columns=draw_columns(planted.labels, spec.influence.columns, spec.training.seed) if serves_itself else None,
        classes=dataset.header.classes,
        groups=groups,
        model=model,
        network=network,
        tied=tied,
        frozen=encoded.frozen,
        preprocessing=encoded.preprocessing,
        trees=trees,
    )


def split_samples(spec: JobSpec, dataset: Canonical) -> Partition:
    """The training part and the reference of a job; the same for the job and for whoever rebuilds its model."""
    return partition(
        dataset.ids, dataset.splits, dataset.labels, spec.reference, spec.training.seed, group_numbers(dataset)
    )


def _encoded(
    spec: JobSpec,
    dataset: Canonical,
    rows: Int[Tensor, " n"],
    reference: tuple[Canonical, Int[Tensor, " m"]] | None,
    backbones: BackboneContext | None,
) -> tuple[Encoded, InputShape]:
    encoder, classes = Encoder.fit(dataset, rows, architecture(spec.model).params), len(dataset.header.classes)
    model = build(spec.model, encoder.shape, classes, spec.training.seed)
    if spec.model.network is not None:
        if backbones is None:
            raise ValueError("uploaded weights need a BackboneContext")
        load_state(model, head(model), spec.model, backbones.networks / spec.model.network / NETWORK_FILE)
    planted = plant(_inputs(encoder, dataset, rows, backbones), dataset.labels[rows], classes, spec.glitches or [])
    encoded = Encoded(
        planted=planted,
        reference=tuple(x[:0] for x in planted.inputs)
        if reference is None
        else _inputs(encoder, *reference, backbones),
        model=model,
        frozen=planted.inputs[0] if dataset.header.modality == "embedding" else None,
    )
    return encoded, encoder.shape


def _trees_beside(spec: JobSpec, shape: InputShape, classes: int) -> BoostedTrees | None:
    """Trees that answer beside the network, where they are asked for and the system has what they need; a warning tells of it."""
    if not architecture(spec.model).params.get("trees"):
        return None
    try:
        lightgbm()
    except Invalid:
        return None
    return BoostedTrees(BoostedTreesParams(), shape, classes)


def _inputs(encoder: Encoder, dataset: Canonical, rows: Int[Tensor, " k"], backbones: BackboneContext | None) -> Inputs:
    frame, count = encoder.shape.image, len(dataset.labels)
    if backbones is None or frame is None or not _MANY_PIXELS <= count * math.prod(frame) <= backbones.features.limit:
        return encoder.encode(dataset, rows)
    told = json.dumps(["pixels", _DECODING, dataset.digest("image"), frame, encoder.white])
    key = hashlib.sha256(told.encode()).hexdigest()
    parts = torch.split(torch.arange(count), _TOGETHER)
    whole = backbones.features.find(key) or backbones.features.store(
        key, count, ((part, encoder.encode(dataset, part)) for part in parts)
    )
    return select_rows(whole, rows, backbones.scratch)


def fit(
    prepared: PreparedJob,
    spec: JobSpec,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
    after_batch: Callable[[float], None] = lambda _epochs: None,
) -> int:
    """Train from `resume` or from the beginning, with the callbacks of `train`, and give the number of epochs."""
    if isinstance(prepared.model, BoostedTrees):
        return grow(
            prepared.model,
            prepared.inputs,
            prepared.planted.labels,
            spec.training,
            resume=resume,
            after_epoch=after_epoch,
            after_batch=after_batch,
        )
    return train(
        prepared.model,
        prepared.inputs,
        prepared.planted.labels,
        spec.training,
        resume=resume,
        after_epoch=after_epoch,
        after_batch=after_batch,
    )


def _network(model: nn.Module, spec: JobSpec, planted: PlantedData) -> tuple[CheckpointedModel | None, tuple[str, ...]]:
    """The network whose layers' gradients are asked for, and those of the layers that the network uses elsewhere too."""
    if isinstance(model, BoostedTrees):
        return None, ()
    influence = spec.influence
    try:
        names = layer_names(model, head(model), influence.layers)
        tied = tuple(layers_used_elsewhere(model, names, planted.inputs))
    except UnsupportedLayer as error:
        raise Invalid(str(error), errors=[FieldError(loc=["influence", "layers"], msg=str(error))]) from error
    if influence.layers == "last" and influence.estimator == "tracin":
        return None, tied
    projection = None if influence.estimator == "tracin" else Projection(influence.dimension, spec.training.seed)
    return CheckpointedModel(model, names, projection), tied
