"""The networks, one file per family. Names, parameters and training defaults are in service.domain.models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from service.domain.models import MODELS
from service.domain.specs import ModelRequest
from worker.data.shape import InputShape
from worker.models import boosted_trees, fine_tuned, image, probes, resnet18, tabm, tabular, text
from worker.models.uploaded_weights import architecture

BUILDERS: dict[str, Callable[[Any, InputShape, int], nn.Module]] = {
    name: builder
    for family in (tabular, boosted_trees, tabm, image, resnet18, probes, text, fine_tuned)
    for name, builder in family.BUILDERS.items()
}


def build(request: ModelRequest, shape: InputShape, classes: int, seed: int) -> nn.Module:
    """An untrained network, initialised from `seed`; the global random state is left as it was.

    For uploaded weights this is the network that they are for; `load_state` loads them.
    """
    request = architecture(request)
    params = MODELS[request.name].params.model_validate(request.params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BUILDERS[request.name](params, shape, classes)


def head(model: nn.Module) -> nn.Linear:
    """The Linear layer that yields the logits: the model's `head`, else the last Linear it has."""
    named = getattr(model, "head", None)
    if isinstance(named, nn.Linear):
        return named
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
