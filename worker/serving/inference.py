"""Predictions of a completed job's model for new samples."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from service.domain.errors import Invalid
from service.domain.models import MODELS
from service.domain.specs import JobSpec
from worker.backbones import BackboneContext, Preprocessing, rebuild_model
from worker.data.canonical import Canonical
from worker.data.encoding import Encoder, Inputs
from worker.job.preparation import split_samples
from worker.machine.devices import CPU, device_of, to_device
from worker.models import build
from worker.models.uploaded_weights import architecture

_BLOCK = 256


@dataclass(frozen=True)
class TrainedModel:
    """A model at the end of its training; `inputs` encodes samples for it, in parts of bounded size."""

    model: nn.Module
    inputs: Callable[[Canonical], Iterator[Inputs]]
    classes: list[str]


def restore_model(
    spec: JobSpec,
    dataset: Canonical,
    weights: Mapping[str, Tensor],
    device: torch.device = CPU,
    backbones: BackboneContext | None = None,
    preprocessing: Preprocessing | None = None,
) -> TrainedModel:
    """The model with its trained weights, on `device`, and how training read samples: an encoder learns the same of the same rows.

    A pretrained model also needs a BackboneContext, where its frozen part is found, and the preprocessing that its training had. Raises
    Invalid where nothing was trained here, and where the pretrained network is gone or is another by now.
    """
    if spec.model.name == "trace":
        raise Invalid("this training was recorded elsewhere: its model is not here, and makes no predictions")
    if spec.model.name == "predictions":
        raise Invalid("these predictions were made elsewhere: there is no model here to make others")
    if MODELS[spec.model.name].has_front:
        if backbones is None or preprocessing is None:
            raise ValueError(
                "a pretrained model needs a BackboneContext, and the preprocessing that was kept with its job"
            )
        model, inputs = rebuild_model(spec, dataset, backbones, preprocessing)
    else:
        model, inputs = _built(spec, dataset)
    model.load_state_dict(weights)
    return TrainedModel(model.to(device).eval(), inputs, dataset.header.classes)


def _built(spec: JobSpec, dataset: Canonical) -> tuple[nn.Module, Callable[[Canonical], Iterator[Inputs]]]:
    part = split_samples(spec, dataset)
    encoder = Encoder.fit(dataset, part.train, architecture(spec.model).params)
    model = build(spec.model, encoder.shape, len(dataset.header.classes), spec.training.seed)
    return model, lambda samples: iter([encoder.encode(samples, torch.arange(len(samples.labels)))])


def probabilities(trained: TrainedModel, samples: Canonical) -> Float[Tensor, "n c"]:
    """Probabilities [n, c] of the classes of n samples, in float32; columns are `trained.classes` in order."""
    device, found = device_of(trained.model), [torch.empty(0, len(trained.classes))]
    block = getattr(trained.model, "at_once", _BLOCK)
    for inputs in trained.inputs(samples):
        for rows in torch.split(torch.arange(len(inputs[0])), block):
            with torch.inference_mode():
                logits = trained.model(*to_device((part[rows] for part in inputs), device))
                found.append(torch.softmax(logits.float(), 1).cpu())
    return torch.cat(found)
