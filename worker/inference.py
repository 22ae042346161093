"""What the model of a completed job says of samples that it has not seen."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from service.domain.errors import Invalid
from service.domain.models import MODELS
from service.domain.specs import JobSpec
from worker.decode import Canonical, Encoder
from worker.devices import CPU, device_of, sent
from worker.models import build
from worker.models.states import architecture
from worker.partition import partition
from worker.training import TrainingState

_BLOCK = 256


@dataclass(frozen=True)
class Trained:
    """A model as it was at the end of its training, and how samples become its inputs."""

    model: nn.Module
    encoder: Encoder
    classes: list[str]


def restore(spec: JobSpec, dataset: Canonical, state: TrainingState, device: torch.device = CPU) -> Trained:
    """The model, on `device`, and the encoder that training had; the encoder learns the same of the same rows.

    Raises Invalid where nothing was trained here, and for a pretrained model, whose samples go through its
    frozen part first: that is not done here yet.
    """
    if MODELS[spec.model.name].has_front or spec.model.name in ("trace", "predictions"):
        raise Invalid(f"only models that were trained from scratch make predictions, and {spec.model.name} was not")
    part = partition(dataset.ids, dataset.splits, dataset.labels, spec.reference, spec.training.seed)
    encoder = Encoder.fit(dataset, part.train, architecture(spec.model).params)
    model = build(spec.model, encoder.shape, len(dataset.header.classes), spec.training.seed)
    model.load_state_dict(state.model)
    return Trained(model.to(device).eval(), encoder, dataset.header.classes)


def probabilities(trained: Trained, samples: Canonical) -> Float[Tensor, "n c"]:
    """How probable the model finds each class of each sample, in float32; the classes are `trained.classes` in order."""
    inputs = trained.encoder.encode(samples, torch.arange(len(samples.labels)))
    device = device_of(trained.model)
    with torch.inference_mode():
        blocks = [
            trained.model(*sent((part[start : start + _BLOCK] for part in inputs), device))
            for start in range(0, len(samples.labels), _BLOCK)
        ]
        return torch.softmax(torch.cat(blocks).float(), 1).cpu()
