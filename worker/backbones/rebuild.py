"""Builds the model of a finished job again, to predict new samples."""

from collections.abc import Callable, Iterator

from torch import nn

from service.domain.specs import JobSpec
from worker.backbones.backbone_files import invalid_backbone
from worker.backbones.context import BackboneContext
from worker.backbones.encode import standardised, untrained_model
from worker.backbones.frozen_backbone import FrozenBackbone
from worker.backbones.preprocessing import Preprocessing
from worker.data.canonical import Canonical
from worker.data.encoding import Inputs


def rebuild_model(
    spec: JobSpec, dataset: Canonical, backbones: BackboneContext, preprocessing: Preprocessing
) -> tuple[nn.Module, Callable[[Canonical], Iterator[Inputs]]]:
    """The model without its trained weights, and a function that encodes samples into its inputs, in parts.

    `dataset` is the job's own, from which the length of texts was taken. Raises Invalid where the pretrained network is
    missing or its files have changed.
    """
    front = FrozenBackbone(spec, dataset, backbones)
    if front.digest != preprocessing.network:
        raise invalid_backbone(f"{front.name} has changed since this job was trained")
    body = None if front.trainable == 0 else front.trained_part
    model = untrained_model(spec, preprocessing.standard, body, len(dataset.header.classes))

    def inputs(samples: Canonical) -> Iterator[Inputs]:
        for given in front.encode_all(samples):
            yield (standardised(given[0], preprocessing.standard),) if body is None else given

    return model, inputs
