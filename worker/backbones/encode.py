"""Encodes samples with the frozen part of a pretrained network, and builds the model that is trained on the outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from service.domain.specs import Glitch, JobSpec
from worker.backbones.backbone_parts import MultiInputSequential
from worker.backbones.context import BackboneContext
from worker.backbones.frozen_backbone import FrozenBackbone
from worker.backbones.preprocessing import Preprocessing
from worker.data.canonical import Canonical
from worker.data.encoding import Inputs
from worker.data.glitches import PlantedData, plant
from worker.data.shape import InputShape
from worker.data.standard import Standard
from worker.models import build
from worker.models.fine_tuned import FineTuned

_BLOCK = 64  # samples in one pass of the trained part
_SCALE_SAMPLES = 1_024  # samples from which the scale of the trained part's outputs is estimated


@dataclass(frozen=True)
class Encoded:
    """Model inputs of the training part (in `planted`) and of the reference, and the untrained model.

    `frozen`: inputs of the training part that are embeddings no training changes, else None. `preprocessing`: what must be
    stored to encode new samples in the same way; None where the weights are enough.
    """

    planted: PlantedData
    reference: Inputs
    model: nn.Module
    frozen: Tensor | None
    preprocessing: Preprocessing | None = None


def encode(
    spec: JobSpec,
    dataset: Canonical,
    rows: Int[Tensor, " n"],
    reference: tuple[Canonical, Int[Tensor, " m"]] | None,
    backbones: BackboneContext,
) -> Encoded:
    """Run the frozen part (or read its cached outputs), plant glitches, and build the model. Raises Invalid, TooLarge."""
    front = FrozenBackbone(spec, dataset, backbones)
    planted = _planted(front, dataset, rows, spec.glitches or [])
    inputs = planted.inputs
    known = None if reference is None else front.outputs(*reference)
    classes = len(dataset.header.classes)
    if front.trainable == 0:
        # The scale is that of the samples before glitches are planted.
        (plain,) = front.outputs(dataset, rows)
        standard = Standard.fit(lambda: _doubles(plain))
        found = standardised(inputs[0], standard)
        known = (standardised(known[0], standard),) if known is not None else (found[:0],)
        model = untrained_model(spec, standard, None, classes)
        return Encoded(replace(planted, inputs=(found,)), known, model, found, Preprocessing(front.digest, standard))
    body = front.trained_part
    standard = Standard.fit(lambda: _body_outputs(body, inputs))
    known = tuple(part[:0] for part in inputs) if known is None else known
    model = untrained_model(spec, standard, body, classes)
    return Encoded(planted, known, model, None, Preprocessing(front.digest, standard))


def untrained_model(spec: JobSpec, standard: Standard, body: nn.Module | None, classes: int) -> nn.Module:
    """The model before training: a probe on standardised rows, or `body`, a fixed standardisation and a probe."""
    shape = InputShape("embedding", embedding=standard.width)
    head = build(spec.model, shape, classes, spec.training.seed)
    return head if body is None else FineTuned(body, standard, head)


def _planted(
    front: FrozenBackbone, dataset: Canonical, rows: Int[Tensor, " n"], glitches: Sequence[Glitch]
) -> PlantedData:
    """Plant glitches; samples that they replace go through the frozen part like any other."""
    labels, classes = dataset.labels[rows], len(dataset.header.classes)
    given = front.outputs(dataset, rows)
    if all(glitch.kind.startswith("mislabeled") for glitch in glitches):
        # Which classes are alike is estimated from means over places.
        flat = given[0].float().flatten(2).mean(2) if given[0].dim() == 4 else given[0].float()
        flat = flat.mean(1) if flat.dim() == 3 else flat
        return replace(plant((flat,), labels, classes, glitches), inputs=given)
    planted = plant((front.read_samples(dataset, rows),), labels, classes, glitches)
    replaced = torch.tensor([kind is not None and not kind.startswith("mislabeled") for kind in planted.kinds])
    places = replaced.nonzero().squeeze(1)
    if len(places):
        for part, changed in zip(given, front.encode(planted.inputs[0][places]), strict=True):
            part[places] = changed
    return replace(planted, inputs=given)


def _doubles(x: Tensor) -> Iterator[Any]:
    for part in torch.split(x, _SCALE_SAMPLES):
        yield part.double().numpy()


def standardised(x: Tensor, standard: Standard) -> Tensor:
    """Rows of numbers, standardised, in float32."""
    found = torch.empty(len(x), standard.width)
    for rows in torch.split(torch.arange(len(x)), _SCALE_SAMPLES):
        found[rows] = torch.from_numpy(standard.apply(x[rows].double().numpy())).float()
    return found


def _body_outputs(body: MultiInputSequential, inputs: Inputs) -> Iterator[Any]:
    body.eval()
    few = torch.arange(len(inputs[0]))[:: max(1, len(inputs[0]) // _SCALE_SAMPLES)]
    for rows in torch.split(few, _BLOCK):
        with torch.inference_mode():
            found = body(*(part[rows] for part in inputs))
        yield found.double().numpy()
